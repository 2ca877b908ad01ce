// All words of the counter page, Chinese and English. Sentences of reasons come with the answers.

export const WORDS = {
  title: ["核验窗口", "Verification counter"],
  skip: ["跳到主要内容", "Skip to the main part"],
  ready: ["请扫码", "Ready to scan"],
  ready_more: [
    "用扫码枪扫描随申码、证照码或纸质证照上的印章码。无需点击任何位置。",
    "Scan an identity code, a license code or the seal on a printed license. No need to click anywhere.",
  ],
  camera: ["用摄像头", "Use the camera"],
  camera_more: ["把码对准镜头", "Hold the code before the lens"],
  file: ["图片或 PDF", "Picture or PDF"],
  file_more: ["拖到此页，或点击选取", "Drop it on this page, or choose a file"],
  number: ["输入证照编号", "Type a license number"],
  number_more: ["只查状态，不能代替出示", "Status only: it does not replace showing the license"],
  number_label: ["证照编号", "License number"],
  number_go: ["查询状态", "Look up the status"],
  back: ["返回", "Back"],
  question_more: ["本场景需要提问：请对方用手机扫描此码，再出示应答码。", "This scene asks first: let the holder scan this, then show the answer."],
  question_picture: ["提问码", "Question as a code"],
  drop: ["松开即核验", "Release to verify"],
  camera_title: ["摄像头", "Camera"],
  camera_hold: ["请把码放在画面中间，离镜头约 15 厘米。", "Hold the code in the middle, about 15 cm from the lens."],
  camera_off: ["用不了摄像头。请用扫码枪，或选取图片。", "The camera cannot be used. Use the scanner, or choose a picture."],
  working: ["正在核验…", "Verifying…"],
  next: ["下一位", "Next person"],
  next_key: ["按 Esc 清除", "Esc wipes the screen"],
  language: ["English", "中文"],
  language_of: ["en", "zh-CN"],
  larger: ["字大", "Larger text"],
  smaller: ["字小", "Smaller text"],
  sound_on: ["声音：开", "Sound: on"],
  sound_off: ["声音：关", "Sound: off"],
  practice: ["练习", "Practice"],
  practice_end: ["结束练习", "End practice"],
  practice_banner: ["练习模式：所有结果都是演示，不能作为依据。", "Practice: every result is an example and means nothing."],
  practice_pick: ["选一个结果来练习：", "Choose an outcome to practise:"],
  kiosk: ["自助模式", "Kiosk mode"],
  settings: ["显示设置", "Display settings"],
  status: ["本机状态", "State of this terminal"],
  ACCEPTED: ["通过", "Accepted"],
  REJECTED: ["不通过", "Not accepted"],
  UNDECIDED: ["无法判定", "Cannot be decided"],
  STATUS: ["仅状态", "Status only"],
  practice_mark: ["练习", "Practice"],
  layers: ["三项核验", "Three checks"],
  genuine: ["真实", "Genuine"],
  "in force": ["有效", "In force"],
  "accepted here": ["此处可用", "Accepted here"],
  passed: ["是", "yes"],
  failed: ["否", "no"],
  open: ["未定", "open"],
  not_needed: ["不涉及", "not needed"],
  not_reached: ["未核验", "not checked"],
  compare: ["请与本人核对", "Compare with the person"],
  portrait: ["持证人照片", "Portrait of the holder"],
  person: ["出示人", "Presented by"],
  subject: ["主体", "On behalf of"],
  actor: ["代为办理", "Who acts"],
  license: ["证照", "License"],
  issuer: ["签发机关", "Issued by"],
  region: ["签发地", "Province"],
  identifier: ["证照标识", "Identifier"],
  notices: ["提示", "Please note"],
  show_full: ["显示完整号码", "Show hidden parts"],
  show_masked: ["遮盖号码", "Hide them again"],
  local: ["本地对应", "Local view"],
  local_more: ["外省市证照，按互认规则对应为本地字段", "A license of another province, read by the recognition rule between the two"],
  kind: ["类别", "Kind"],
  value: ["内容", "Value"],
  original: ["原证照", "As issued"],
  code_word: ["代码", "code"],
  used_at: ["此码已于 {time} 使用过。", "Already used at {time}."],
  back_in: ["{n} 秒后返回", "Back in {n} s"],
  offline: ["离线核验", "Offline"],
  online: ["联网", "Online"],
  unreachable: ["连不上核验服务", "Service not reached"],
  offline_banner: [
    "当前离线：按本机保存的名单核验。名单更新于 {age}前。",
    "Offline: verifying by the lists kept here. They are {age} old.",
  ],
  unreachable_banner: [
    "连不上本机核验服务，现在不能核验。请重启本机程序或联系技术人员。",
    "The verification service does not answer: nothing can be verified now. Restart it or call support.",
  ],
  stale_banner: ["信任名单已过旧，不能判定。请联网更新。", "The trust lists are too old to decide. Go online to refresh them."],
  trust_age: ["信任名单", "Trust lists"],
  status_age: ["状态名单", "Status lists"],
  clock: ["时钟", "Clock"],
  clock_off: ["差 {n} 秒", "{n} s off"],
  policy: ["场景", "Scene"],
  terminal: ["终端", "Terminal"],
  ago: ["{age}前", "{age} old"],
  unknown: ["未知", "unknown"],
  minutes: ["{n} 分钟", "{n} min"],
  hours: ["{n} 小时", "{n} h"],
  days: ["{n} 天", "{n} days"],
  number_found: ["登记状态：{status}", "Status in the register: {status}"],
  number_advice: ["这只是登记状态。请对方出示证照后再办理。", "This is the register's status only. Ask for the license itself."],
  number_none: ["查不到此编号。", "No license has this number."],
  number_none_advice: ["请核对编号，或请对方出示证照。", "Check the number, or ask for the license itself."],
};

// Sentence and next step of an acceptance, by what was presented.
export const ACCEPTED_WORDS = {
  code: ["身份码真实有效。", "The identity code is genuine and fresh.", "请与本人核对后办理。", "Compare with the person and go on."],
  presentation: ["证照真实有效，由持证人的设备出示。", "The license is genuine, in force and shown by its holder's device.", "请与本人核对后办理。", "Compare with the person and go on."],
  document: ["证照内容真实有效。", "The license's content is genuine and in force.", "未核验是否本人出示，请核对身份。", "Presence was not checked: check who presents it."],
  seal: ["纸质证照的内容真实有效。", "The content of the printed license is genuine and in force.", "请逐项核对纸面内容与下列内容。", "Compare the paper with the fields shown here."],
  paper: ["纸质身份码真实有效。", "The printed identity code is genuine.", "请与本人核对后办理。", "Compare with the person and go on."],
  display: ["展示码真实有效。", "The display code is genuine.", "请核对企业名称。", "Compare the name of the enterprise."],
};

// What the page itself has to say: the service did not answer, or not in its form.
export const LOCAL = {
  unreachable: ["连不上本机核验服务，无法判定。", "The verification service does not answer.", "请重启本机程序，或走人工核验。", "Restart the service, or verify by hand."],
  malformed: ["核验服务的回答不完整，无法判定。", "The answer of the service is not complete.", "请再扫一次；仍然如此请联系技术人员。", "Scan again; if it stays so, call support."],
  busy: ["核验服务繁忙，无法判定。", "The service is busy.", "请稍等几秒后再扫。", "Wait a few seconds and scan again."],
  no_register: ["本机没有接入登记库，查不了编号。", "This terminal has no register to look in.", "请对方出示证照。", "Ask for the license itself."],
  file: ["读不了这个文件，无法判定。", "This file cannot be read.", "请换用清晰的图片或原始 PDF。", "Use a clear picture or the original PDF."],
  ambiguous: ["画面中有多个码。", "There is more than one code in the picture.", "请只对准一个码再扫。", "Show one code only and scan again."],
  practice_ACCEPTED: ["（练习）身份码真实有效。", "(Practice) The identity code is genuine and fresh.", "与本人核对照片和姓名，然后办理。", "Compare face and name, then go on."],
  practice_REJECTED: ["（练习）此码已被使用。", "(Practice) This code has been used already.", "请对方等码刷新后再出示。", "Ask for the next code."],
  practice_UNDECIDED: ["（练习）信任名单过旧，无法判定。", "(Practice) The trust lists are too old to decide.", "联网更新名单，或走人工核验。", "Refresh the lists, or verify by hand."],
};

export const KINDS = {
  person: ["个人", "Person"], enterprise: ["企业", "Enterprise"], international: ["境外人士", "International"],
  senior: ["长者", "Senior"], minor: ["未成年人", "Minor"],
};
export const ROLES = {
  guardian: ["监护人", "Guardian"], child: ["子女", "Child"], agent: ["代理人", "Agent"],
  "legal-representative": ["法定代表人", "Legal representative"], employee: ["经办人员", "Employee"],
};
export const ATTRIBUTES = {
  masked_name: ["姓名", "Name"], resident: ["本市居民", "Resident"], district: ["所在区", "District"],
  age_over_14: ["年满14岁", "14 or older"], age_over_18: ["年满18岁", "18 or older"],
  age_over_60: ["年满60岁", "60 or older"], age_over_65: ["年满65岁", "65 or older"],
  enterprise_name: ["企业名称", "Enterprise"], uscc: ["统一社会信用代码", "Credit code"],
  representative: ["法定代表人", "Representative"], domicile: ["住所", "Domicile"],
};
export const PROVINCES = {31: ["上海市", "Shanghai"], 32: ["江苏省", "Jiangsu"], 33: ["浙江省", "Zhejiang"], 34: ["安徽省", "Anhui"]};
export const STATUSES = {
  valid: ["有效", "in force"], revoked: ["已注销或吊销", "revoked"], suspended: ["已暂停", "suspended"],
  superseded: ["已换发新版本", "replaced by a newer version"], expired: ["已过期", "expired"],
};
export const YES_NO = {true: ["是", "yes"], false: ["否", "no"]};

export const say = (pair, lang) => (pair ? pair[lang === "zh" ? 0 : 1] : "");
export const word = (key, lang, parts = {}) =>
  Object.entries(parts).reduce((text, [name, value]) => text.replace(`{${name}}`, value), say(WORDS[key], lang));
