"""Outcomes and reasons: what a verification answers, in stable codes and in words.

One table. Each reason is one thing that a clerk or an operator would do differently; it has a sentence and
one next step in Chinese and in English. The codes are stable: programs may depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """The three answers. UNDECIDED is never shown as forged and never as fine."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    UNDECIDED = "UNDECIDED"


class Layer(StrEnum):
    """What a reason speaks about; layers are checked in this order."""

    GENUINE = "genuine"
    IN_FORCE = "in force"
    ACCEPTED_HERE = "accepted here"
    HOLDER = "holder's side"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a verification ended as it did.

    Attributes:
        code: stable dotted name.
        outcome: the outcome that it leads to.
        layer: what it speaks about.
        zh: one sentence for the person at the counter, Chinese.
        en: the same, English.
        advice_zh: one next step, Chinese.
        advice_en: the same, English.
    """

    code: str
    outcome: Outcome
    layer: Layer
    zh: str
    en: str
    advice_zh: str
    advice_en: str

    def sentence(self, lang: str) -> str:
        """The sentence in `zh` or `en`."""
        return self.zh if lang == "zh" else self.en

    def advice(self, lang: str) -> str:
        """The next step in `zh` or `en`."""
        return self.advice_zh if lang == "zh" else self.advice_en


_G, _F, _H, _S = Layer.GENUINE, Layer.IN_FORCE, Layer.ACCEPTED_HERE, Layer.HOLDER
_NO, _OPEN = Outcome.REJECTED, Outcome.UNDECIDED

_TABLE: Final[tuple[tuple[str, Outcome, Layer, str, str, str, str], ...]] = (
    # genuine: the form of what was scanned
    (
        "code.unreadable",
        _NO,
        _G,
        "扫描到的内容不是本系统的码。",
        "What was scanned is not one of our codes.",
        "请重新扫描，或核对是否扫错了码。",
        "Scan again, or check that it is the right code.",
    ),
    (
        "code.too_long",
        _NO,
        _G,
        "码的内容过长。",
        "The code is longer than any genuine code.",
        "请让对方出示原码。",
        "Ask for the original code.",
    ),
    (
        "code.version_unknown",
        _NO,
        _G,
        "码的版本无法识别。",
        "The kind or version of this code is not known here.",
        "请更新本机软件后再试。",
        "Update the software of this terminal and try again.",
    ),
    (
        "code.not_canonical",
        _NO,
        _G,
        "码的书写形式不规范，可能被改动过。",
        "The code is not in its exact form; it may have been altered.",
        "请让对方重新生成码。",
        "Ask for a freshly made code.",
    ),
    (
        "code.ambiguous",
        _NO,
        _G,
        "画面中有多个码。",
        "There is more than one code in the picture.",
        "请只对准一个码再扫。",
        "Show one code only and scan again.",
    ),
    (
        "code.static",
        _NO,
        _G,
        "这里要求动态码，出示的是静态码。",
        "A rotating code is needed here; a static one was shown.",
        "请对方打开动态码。",
        "Ask for the rotating code.",
    ),
    (
        "code.supply",
        _NO,
        _G,
        "这是用证码：窗口凭它调取一次证照，它不能用来核验。",
        "This is a supply code: a window retrieves a license with it once; it is not for verifying.",
        "请用它调取证照，或请对方出示证照本身。",
        "Retrieve the license with it, or ask for the license itself.",
    ),
    (
        "code.expired",
        _NO,
        _G,
        "码已过期，可能是截图。",
        "The code is too old; it may be a screenshot.",
        "请对方刷新后出示。",
        "Ask for a fresh code on the live screen.",
    ),
    (
        "code.from_future",
        _NO,
        _G,
        "码的时间在未来。",
        "The code's time lies in the future.",
        "请核对双方设备的时间。",
        "Check the clocks of both devices.",
    ),
    (
        "code.replayed",
        _NO,
        _G,
        "此码已被使用。",
        "This code has been used already.",
        "请对方等码刷新后再出示。",
        "Ask for the next code.",
    ),
    (
        "code.audience",
        _NO,
        _G,
        "此码不是为本场所出示的。",
        "The code was made for another place.",
        "请对方重新为本场所出码。",
        "Ask for a code made for this place.",
    ),
    (
        "code.challenge",
        _NO,
        _G,
        "没有正确回答本终端的提问。",
        "The code does not answer this terminal's question.",
        "请对方扫描本机显示的提问码。",
        "Ask the holder to scan this terminal's question.",
    ),
    (
        "pass.expired",
        _NO,
        _G,
        "随申码凭证已到期。",
        "The pass behind the code has expired.",
        "请对方联网更新随申码。",
        "Ask the holder to go online and renew the code.",
    ),
    (
        "pass.revoked",
        _NO,
        _G,
        "随申码凭证已被停用。",
        "The pass behind the code has been revoked.",
        "请改用身份证件核验。",
        "Use an identity document instead.",
    ),
    (
        "credential.malformed",
        _NO,
        _G,
        "凭证的形式不正确。",
        "The credential is not in its exact form.",
        "请对方出示原件。",
        "Ask for the original.",
    ),
    (
        "credential.expired",
        _NO,
        _G,
        "凭证的有效期已过。",
        "The credential itself has expired.",
        "请对方在应用中更新证照。",
        "Ask the holder to renew it in the app.",
    ),
    (
        "holder.binding_missing",
        _NO,
        _G,
        "没有本人设备的签名，不能证明是本人出示。",
        "There is no proof by the holder's device.",
        "请本人用手机出示。",
        "Ask the holder to present it from the phone.",
    ),
    (
        "algorithm.not_allowed",
        _NO,
        _G,
        "所用的密码算法不被允许。",
        "The algorithm is not the one of the issuer's key.",
        "不要接受，并报告主管人员。",
        "Do not accept it; report it.",
    ),
    (
        "signature.issuer",
        _NO,
        _G,
        "签发机关的签名无效，内容被改动或系伪造。",
        "The issuer's signature is wrong: altered or forged.",
        "不要接受，并报告主管人员。",
        "Do not accept it; report it.",
    ),
    (
        "signature.holder",
        _NO,
        _G,
        "持有人设备的签名无效。",
        "The signature of the holder's device is wrong.",
        "请对方重新出示。",
        "Ask for a fresh presentation.",
    ),
    (
        "disclosure.mismatch",
        _NO,
        _G,
        "披露的内容与凭证不符。",
        "What was disclosed does not belong to the credential.",
        "不要接受，并报告主管人员。",
        "Do not accept it; report it.",
    ),
    # genuine: who signed
    (
        "issuer.unknown",
        _NO,
        _G,
        "签发机关不在信任名单内。",
        "The issuer is not on the trust lists.",
        "不要接受；如有疑问请联系所属省市。",
        "Do not accept it; in doubt ask the issuing province.",
    ),
    (
        "issuer.suspended",
        _NO,
        _G,
        "签发机关的资格已被暂停。",
        "The issuer is suspended at present.",
        "请稍后再试，或走人工核验。",
        "Try later or verify by hand.",
    ),
    (
        "issuer.withdrawn",
        _NO,
        _G,
        "签发机关的资格在签发时已被撤销。",
        "The issuer's grant had been withdrawn when it signed.",
        "不要接受。",
        "Do not accept it.",
    ),
    (
        "issuer.key_unknown",
        _NO,
        _G,
        "签名密钥不属于该签发机关。",
        "The key is not one of this issuer's.",
        "不要接受，并报告主管人员。",
        "Do not accept it; report it.",
    ),
    (
        "issuer.key_not_valid_then",
        _NO,
        _G,
        "签发时该密钥不在有效期内。",
        "The key was not valid at the time of signing.",
        "不要接受。",
        "Do not accept it.",
    ),
    (
        "issuer.proof_missing",
        _NO,
        _G,
        "密钥已泄露，缺少泄露之前签发的证明。",
        "The key was compromised and there is no proof that this was signed before.",
        "请对方向签发机关换发，或提供登记证明。",
        "Ask for a re-issue or for the register's statement.",
    ),
    (
        "issuer.type_not_granted",
        _NO,
        _G,
        "该机关无权签发此类证照。",
        "The issuer may not sign this type.",
        "不要接受。",
        "Do not accept it.",
    ),
    (
        "issuer.region",
        _NO,
        _G,
        "该机关无权为此地区签发。",
        "The issuer may not sign for this region.",
        "不要接受。",
        "Do not accept it.",
    ),
    (
        "issuer.service",
        _NO,
        _G,
        "该密钥只能用于另一项服务。",
        "The key belongs to another service.",
        "不要接受，并报告主管人员。",
        "Do not accept it; report it.",
    ),
    # in force
    (
        "license.not_yet_valid",
        _NO,
        _F,
        "证照尚未生效。",
        "The license is not valid yet.",
        "请在生效后再来。",
        "Come back when it is valid.",
    ),
    (
        "license.expired",
        _NO,
        _F,
        "证照已过有效期。",
        "The license has expired.",
        "请对方办理换证。",
        "Ask the holder to renew it.",
    ),
    (
        "license.suspended",
        _NO,
        _F,
        "证照已被暂扣或暂停。",
        "The license is suspended.",
        "不予受理，可告知对方联系发证机关。",
        "Do not accept it; the holder may ask the authority.",
    ),
    (
        "license.revoked",
        _NO,
        _F,
        "证照已被注销、撤销或吊销。",
        "The license has been revoked.",
        "不予受理，可告知对方联系发证机关。",
        "Do not accept it; the holder may ask the authority.",
    ),
    (
        "license.superseded",
        _NO,
        _F,
        "证照已有新版本，这是旧版本。",
        "There is a newer version of this license.",
        "请对方出示新版本。",
        "Ask for the newer version.",
    ),
    (
        "printed.superseded",
        _NO,
        _F,
        "纸质证照是旧版，证照内容已变更。",
        "The paper is an old edition; the license has changed.",
        "请出示新版纸质证照或电子证照，旧版应收回。",
        "Ask for the new edition; take the old one back.",
    ),
    (
        "printed.withdrawn",
        _NO,
        _F,
        "此纸质证照已作废、挂失或收回。",
        "This paper has been withdrawn, reported lost or recalled.",
        "请收回并联系发证机关。",
        "Take it back and ask the issuing authority.",
    ),
    # accepted here
    (
        "policy.type",
        _NO,
        _H,
        "本事项不接受此类证照。",
        "This type of license is not what is needed here.",
        "请出示所需的证照。",
        "Ask for the license that is needed.",
    ),
    (
        "policy.field_missing",
        _NO,
        _H,
        "缺少本事项必需的信息。",
        "A field that is needed here was not disclosed.",
        "请对方补充出示所需信息。",
        "Ask the holder to disclose it.",
    ),
    (
        "policy.scene",
        _NO,
        _H,
        "此码不适用于本场景。",
        "The code is not meant for this scene.",
        "请对方出示适用于本场景的码。",
        "Ask for a code for this scene.",
    ),
    (
        "policy.assurance",
        _NO,
        _H,
        "身份保证等级不够。",
        "The level of assurance is too low here.",
        "请改用更高等级的方式核验。",
        "Use a stronger way of identification.",
    ),
    (
        "policy.province",
        _NO,
        _H,
        "此处不接受该省市的证照。",
        "Licenses of this province are not accepted here.",
        "请走人工核验。",
        "Verify by hand.",
    ),
    (
        "printed.differs",
        _NO,
        _H,
        "纸面内容与签名内容不一致。",
        "The face differs from the signed content.",
        "以签名内容为准，收回纸件并报告。",
        "The signed content counts; keep the paper and report it.",
    ),
    # undecided
    (
        "trust.stale",
        _OPEN,
        _G,
        "信任名单过旧，无法判定。",
        "The trust lists are too old to decide.",
        "请联网更新信任名单。",
        "Go online and refresh the lists.",
    ),
    (
        "trust.invalid",
        _OPEN,
        _G,
        "信任名单无法使用，无法判定。",
        "The trust lists cannot be used.",
        "请检查信任名单的来源。",
        "Check where the lists come from.",
    ),
    (
        "trust.rollback",
        _OPEN,
        _G,
        "收到的信任名单比已有的旧，无法判定。",
        "The lists offered are older than those seen before.",
        "请检查信任名单的来源，并报告。",
        "Check the source of the lists and report it.",
    ),
    (
        "trust.equivocation",
        _OPEN,
        _G,
        "同一版本出现了两份不同的信任名单。",
        "Two different lists carry one version number.",
        "保留两份名单并立即报告。",
        "Keep both and report at once.",
    ),
    (
        "status.unavailable",
        _OPEN,
        _F,
        "查不到证照的当前状态，无法判定。",
        "The current status cannot be looked up.",
        "请联网后再试，或走人工核验。",
        "Try again online or verify by hand.",
    ),
    (
        "status.stale",
        _OPEN,
        _F,
        "状态名单已过期，无法判定。",
        "The status list is too old to decide.",
        "请联网更新状态名单。",
        "Go online and refresh the status lists.",
    ),
    (
        "replay.unavailable",
        _OPEN,
        _G,
        "无法确认此码是否用过。",
        "It cannot be told whether this code was used before.",
        "请检查防重放服务，或走人工核验。",
        "Check the replay guard or verify by hand.",
    ),
    (
        "clock.unsure",
        _OPEN,
        _G,
        "本机时间不可靠，无法判定。",
        "This terminal's clock cannot be trusted.",
        "请校准本机时间。",
        "Set the clock of this terminal.",
    ),
    (
        "recognition.no_rule",
        _OPEN,
        _H,
        "真实有效，但与签发地之间没有互认规则。",
        "Genuine and in force, but there is no recognition rule between the two provinces.",
        "请按人工流程办理。",
        "Follow the manual path.",
    ),
    # the holder's side
    (
        "verifier.unknown",
        _NO,
        _S,
        "提问方不在信任名单内。",
        "Who asks is not on the trust lists.",
        "不要出示。",
        "Do not show anything.",
    ),
    (
        "verifier.not_granted",
        _NO,
        _S,
        "提问方要求的内容超出其权限。",
        "Who asks wants more than it may.",
        "不要出示。",
        "Do not show anything.",
    ),
)

REASONS: Final[dict[str, Reason]] = {
    code: Reason(
        code=code, outcome=outcome, layer=layer, zh=zh, en=en, advice_zh=advice_zh, advice_en=advice_en
    )
    for code, outcome, layer, zh, en, advice_zh, advice_en in _TABLE
}
"""Every reason by its code."""
