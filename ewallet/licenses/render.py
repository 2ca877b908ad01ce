"""The face of a printed copy: what goes into it, and the PDF/A-3b that comes out.

A face is drawn from signed content only: from the record of which credential and seal were made, or from the
verified credential itself (that is how a suspicious PDF is drawn afresh). Templates and sizes stand in
`faces/faces.toml`; a deployment may bring a folder of its own.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError, Malformed, MissingExtra, PrintError, RecordError
from ewallet.formats import qr, typeset
from ewallet.licenses.seal import Role, parse_seal
from ewallet.moments import day_of, instant
from ewallet.wire import b64u_decode

if TYPE_CHECKING:
    from ewallet.licenses.catalog import LicenseType
    from ewallet.licenses.license import License
    from ewallet.licenses.printed import PrintedCopy

FACES: Final = Path(__file__).parent / "faces"
FONT: Final = FACES / "fonts" / "ewallet-sans-sc.ttf"

CREDENTIAL_MIME: Final = "application/sd-jwt"
CREDENTIAL_SUFFIX: Final = ".sdjwt"
METADATA_NAME: Final = "metadata.json"

_MEDIA: Final[tuple[qr.Medium, ...]] = ("paper", "card")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceField:
    """One field of a face.

    Attributes:
        key: claim name.
        label: what stands before it.
        value: exact value as signed; empty if the license has none.
        shown: the value as the face shows it.
        picture: whether it is a picture, drawn in its own place and not among the texts.
    """

    key: str
    label: str
    value: str
    shown: str
    picture: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What stands on a face, from signed sources only.

    Attributes:
        type_key: the type's short name in the catalog.
        type_code: the type's code, first part of the identifier.
        title: name of the type, the largest words on the face.
        identifier: GB/T 36904 identifier.
        number: license number; empty if the type has none.
        version: from 1.
        authority: name of the issuing authority.
        area: six digits.
        holders: name, code and kind of each holder.
        valid_from: first day.
        valid_until: last day; None: long-term.
        issued_on: day of issue.
        fields: all fields of the type's face, in its order, the empty ones too.
        number_key: which field is the license number.
        images: picture fields by key (JPEG).
        template: name of the form, from the catalog.
        sizes: width and height in mm by role, from the catalog.
        credential: the document credential that is attached.
    """

    type_key: str
    type_code: str
    title: str
    identifier: str
    number: str
    version: int
    authority: str
    area: str
    holders: tuple[tuple[str, str, str], ...]
    valid_from: date
    valid_until: date | None
    issued_on: date
    fields: tuple[FaceField, ...]
    number_key: str
    images: Mapping[str, bytes] = field(default_factory=dict)
    template: str
    sizes: Mapping[str, tuple[float, float]]
    credential: str

    @property
    def face(self) -> tuple[tuple[str, str], ...]:
        """Key and value of each field that has one: what face digests are made over."""
        return tuple((each.key, each.value) for each in self.fields if each.value)

    def size(self, role: Role) -> tuple[float, float]:
        """Width and height of a sheet in millimetres."""
        return self.sizes.get(role.name.lower(), self.sizes["original"])

    @classmethod
    def of(cls, license_: License, type_: LicenseType) -> Content:
        """The content of a license as recorded.

        Raises:
            PrintError: the document credential has not been made yet.
        """
        if license_.document is None:
            raise PrintError("the license is not signed yet")
        return cls(
            type_key=license_.type_key,
            type_code=license_.type_code,
            title=type_.zh,
            identifier=license_.identifier,
            number=license_.number,
            version=license_.version,
            authority=license_.authority_name,
            area=license_.area,
            holders=tuple((holder.name, holder.code, holder.kind) for holder in license_.holders),
            valid_from=license_.valid_from,
            valid_until=license_.valid_until,
            issued_on=license_.issued_on,
            fields=face_fields(type_, license_.fields),
            number_key=type_.number,
            images=license_.images,
            template=type_.printed.template,
            sizes=type_.printed.sizes,
            credential=license_.document,
        )

    @classmethod
    def of_claims(cls, claims: Mapping[str, Any], type_: LicenseType, credential: str) -> Content:
        """The content of a document credential: what a suspicious PDF is drawn afresh from.

        Args:
            claims: its claims, all disclosed, verified by the caller.
            type_: the type that its `vct` names.
            credential: the credential itself.

        Raises:
            Malformed: something that a face of this type needs is missing.
        """
        values = {spec.key: str(claims[spec.key]) for spec in type_.face_fields if spec.key in claims}
        try:
            start, until, issued_on = type_.term(values)
            holders = [
                claims[key] for key in sorted(claims) if key.startswith("holder_") and key[7:].isdigit()
            ]
            return cls(
                type_key=type_.key,
                type_code=type_.code,
                title=type_.zh,
                identifier=str(claims["identifier"]),
                number=values[type_.number],
                version=int(claims["version"]),
                authority=str(claims["authority"]),
                area=str(claims["area"]),
                holders=tuple((each["name"], each["code"], each["kind"]) for each in holders),
                valid_from=start,
                valid_until=until,
                issued_on=issued_on,
                fields=face_fields(type_, values),
                number_key=type_.number,
                images=_images(claims, type_),
                template=type_.printed.template,
                sizes=type_.printed.sizes,
                credential=credential,
            )
        except (KeyError, TypeError, ValueError, RecordError) as error:
            raise Malformed("a claim that the face needs is missing or out of form") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What an annotated copy says of itself (GB/T 36903, annotated copy).

    Attributes:
        purpose: what it is handed out for.
        maker: who made it.
        made_at: when.
        until: last day of its use.
    """

    purpose: str
    maker: str
    made_at: datetime
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How one kind of face is drawn; see `faces.toml`."""

    template: Path
    module: float
    module_duplicate: float
    authority: str
    left: tuple[str, ...]
    number_apart: bool

    def seal_module(self, role: Role) -> float:
        """Millimetres per module of the seal."""
        return self.module if role is Role.ORIGINAL else self.module_duplicate


def face_fields(type_: LicenseType, values: Mapping[str, str]) -> tuple[FaceField, ...]:
    """The fields of a type's face with the values of one license."""
    return tuple(
        FaceField(
            key=spec.key,
            label=spec.zh,
            value=values.get(spec.key, ""),
            shown=spec.display(values[spec.key]) if values.get(spec.key) else "",
            picture=spec.key == type_.portrait,
        )
        for spec in type_.face_fields
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """The forms of all types, and the fonts that they are set with.

    Attributes:
        forms: by the type's short name or by the catalog's template name; `default` for any other.
        fonts: the package's font first, then supplementary ones.
    """

    forms: Mapping[str, Form]
    fonts: tuple[typeset.Font, ...]

    @classmethod
    def builtin(cls, *, supplementary: Sequence[Path] = ()) -> Faces:
        """The forms of this package.

        Args:
            supplementary: further font files, for characters that the package's font lacks.
        """
        fonts = (FONT, *supplementary)
        return cls(forms=_read_forms(FACES), fonts=tuple(typeset.Font.load(path) for path in fonts))

    @classmethod
    def load(cls, folder: Path, *, supplementary: Sequence[Path] = ()) -> Faces:
        """A deployment's own forms, in front of the built-in ones.

        Args:
            folder: holds `faces.toml` and the templates that it names.
            supplementary: further font files.

        Raises:
            ConfigError: the file is wrong.
        """
        builtin = cls.builtin(supplementary=supplementary)
        return cls(forms={**builtin.forms, **_read_forms(folder)}, fonts=builtin.fonts)

    def form(self, content: Content) -> Form:
        """The form of a license: its type's own, or that of its template name, or the default."""
        for name in (content.type_key, content.template):
            if name in self.forms:
                return self.forms[name]
        return self.forms["default"]


def rare_font() -> Path:
    """A supplementary font with the rest of GB 18030's mandatory characters (all of Extension A).

    Raises:
        MissingExtra: the extra `fonts` is not installed.
    """
    try:
        package = resources.files("justmytype_intl_cjk")
    except ModuleNotFoundError as error:
        raise MissingExtra("fonts", "a font with the rest of GB 18030") from error
    return Path(str(package / "fonts" / "ofl" / "notosanssc" / "NotoSansSC[wght].ttf"))


def render(
    content: Content,
    copy: PrintedCopy,
    *,
    faces: Faces,
    created: datetime | None = None,
    annotation: Annotation | None = None,
    preprinted: bool = False,
    credential: bool = True,
) -> bytes:
    """Draw one printed copy.

    Args:
        content: what stands on it, from signed sources.
        copy: the sheet; its seal must be over this content.
        faces: forms and fonts.
        created: date of the document, by default the time in the seal: the same sheet gives the same bytes.
        annotation: draws an annotated copy with watermark instead of a plain one.
        preprinted: leaves out frame, title and labels, which the security paper has already.
        credential: attaches the document credential; False for a copy that is handed to others, who must
            not get the master: its seal still proves the content.

    Returns:
        The PDF/A-3b, with the document credential and the metadata of GB/T 36903 attached.

    Raises:
        PrintError: the seal is over another content, a character that no font has (with its place), or a
            text that does not fit.
    """
    seal = parse_seal(copy.seal).unverified
    check_seal(content, copy)
    form = faces.form(content)
    given = _given(content, copy, form, annotation)
    given["variant"] = "variable" if preprinted else "full"
    check_characters(given, faces.fonts)
    given["seal"] = _seal_picture(copy, form, content.size(copy.role))
    portrait = next(iter(content.images.values()), None)
    given["portrait"] = None if portrait is None else list(portrait)
    given["has_portrait"] = any(each.picture for each in content.fields)
    return typeset.typeset(
        form.template,
        given,
        fonts=faces.fonts,
        created=created or instant(seal.issued_at),
        attachments=_attachments(content, copy, annotation)[0 if credential else 1 :],
    )


def check_seal(content: Content, copy: PrintedCopy) -> None:
    """The seal must be this sheet's and over this content.

    Raises:
        PrintError: it is another's.
    """
    parsed = parse_seal(copy.seal)
    seal = parsed.unverified
    if not parsed.covers(content.face):
        raise PrintError("the seal is over another face")
    same = (seal.identifier, seal.version, seal.stock, seal.role, seal.number, seal.of)
    if same != (content.identifier, content.version, copy.stock, copy.role, copy.number, copy.of):
        raise PrintError("the seal belongs to another sheet")


def check_characters(given: Mapping[str, Any], fonts: Sequence[typeset.Font]) -> None:
    """Every character of every text must have a glyph: a face never shows a box.

    Raises:
        PrintError: names the character, its code point and the place.
    """
    for place, text in _texts("", given):
        missing = typeset.missing_characters(text, fonts)
        if missing:
            named = ", ".join(
                f"U+{ord(char):04X} {char if char.isprintable() else ''}".strip() for char in missing
            )
            raise PrintError(f"{place}: no font has {named}; configure a supplementary font")


def shown_day(day: date | None) -> str:
    """A day as a face shows it; an end that never comes is 长期."""
    return "长期" if day is None else f"{day.year}年{day.month}月{day.day}日"


def copy_text(copy: PrintedCopy) -> str:
    """The words that mark a sheet as original or duplicate."""
    word = "正本" if copy.role is Role.ORIGINAL else "副本"
    return (
        f"（{word} {copy.number}/{copy.of}）" if copy.of > 1 or copy.role is Role.DUPLICATE else f"（{word}）"
    )


def metadata(content: Content, copy: PrintedCopy, annotation: Annotation | None = None) -> dict[str, str]:
    """The metadata of an e-license file (GB/T 36903-2018 names, as systems in the field write them)."""
    holders = content.holders
    found = {
        "ZZMC": content.title,
        "ZZLXDM": content.type_code,
        "ZZBH": content.number,
        "ZZBS": content.identifier,
        "ZZBFJG": content.authority,
        "ZZBFJGDM": content.identifier.split(".")[-4],
        "ZZBFRQ": content.issued_on.isoformat(),
        "ZZYXQQSRQ": content.valid_from.isoformat(),
        "ZZYXQJZRQ": content.valid_until.isoformat() if content.valid_until else shown_day(None),
        "CZZT": "、".join(name for name, _, _ in holders),
        "CZZTDM": "、".join(code for _, code, _ in holders),
        "CZZTDMLXDM": "、".join(kind for _, _, kind in holders),
        "certificateAreaCode": content.area,
        "certificate_version": str(content.version),
        "copy": copy_text(copy).strip("（）"),
        "stock": copy.stock,
    }
    found.update({f"KZ_{each.label}": each.shown for each in content.fields if not each.picture})
    if annotation is not None:
        found["JZJZZSJ"] = annotation.made_at.astimezone(UTC).isoformat(timespec="seconds")
        found["JZJZZZ"] = annotation.maker
        found["JZJZZSY"] = annotation.purpose
        found["JZJYXQJZSJ"] = annotation.until.isoformat()
    return found


def _images(claims: Mapping[str, Any], type_: LicenseType) -> dict[str, bytes]:
    """The portrait, if the credential has one and it is the one on the face."""
    key = type_.portrait
    written = claims.get(f"{key}_image") if key else None
    if not isinstance(written, str):
        return {}
    content = b64u_decode(written)
    if sha256(content).hexdigest() != claims.get(key):
        raise Malformed("the portrait is not the one on the face")
    return {key: content}


def _given(content: Content, copy: PrintedCopy, form: Form, annotation: Annotation | None) -> dict[str, Any]:
    drawn = [each for each in content.fields if not each.picture]
    number_label = next((each.label for each in drawn if each.key == content.number_key), "证照编号")
    if form.number_apart:  # it stands beside the title
        drawn = [each for each in drawn if each.key != content.number_key]
    left = [each for key in form.left for each in drawn if each.key == key]
    right = [each for each in drawn if each not in left]
    return {
        "title": content.title,
        "number": content.number,
        "number_label": number_label,
        "authority": content.authority,
        "authority_label": form.authority,
        "issued": shown_day(content.issued_on),
        "identifier": content.identifier,
        "version_text": f"第{content.version}版",
        "columns": [
            [{"label": each.label, "value": each.shown} for each in column] for column in (left, right)
        ],
        "number_apart": form.number_apart,
        "label_length": max((len(each.label) for each in drawn), default=4),
        "copy": {"stock": copy.stock, "role": copy.role.name.lower()},
        "copy_text": copy_text(copy),
        "size": list(content.size(copy.role)),
        "description": f"{content.title} {content.identifier} {copy_text(copy)}",
        "keywords": [content.identifier, content.type_code, content.area, f"v{content.version}"],
        "annotation": None if annotation is None else _annotation(annotation),
    }


def _annotation(annotation: Annotation) -> dict[str, str]:
    return {
        "purpose": annotation.purpose,
        "maker": annotation.maker,
        "made": shown_day(day_of(annotation.made_at)),
        "until": shown_day(annotation.until),
    }


def _seal_picture(copy: PrintedCopy, form: Form, size: tuple[float, float]) -> dict[str, Any]:
    module = form.seal_module(copy.role)
    side = 0.0
    # M on paper; where a small card has no room for it, less error correction keeps the modules large.
    for medium in _MEDIA:
        side = qr.print_size_mm(copy.seal, medium=medium, module_mm=module)
        if side <= min(size):
            return {"svg": qr.qr_svg(copy.seal, medium=medium, module_mm=module), "side_mm": side}
    raise PrintError(f"the seal needs {side:.1f} mm: the sheet is smaller")


def _attachments(
    content: Content, copy: PrintedCopy, annotation: Annotation | None
) -> tuple[typeset.Attachment, ...]:
    described = json.dumps(metadata(content, copy, annotation), ensure_ascii=False, indent=1)
    return (
        typeset.Attachment(
            name=content.identifier + CREDENTIAL_SUFFIX,
            content=content.credential.encode(),
            mime=CREDENTIAL_MIME,
            relationship="source",
            description="签名的电子证照，本页据此绘制 / the signed e-license that this page is drawn from",
        ),
        typeset.Attachment(
            name=METADATA_NAME,
            content=described.encode(),
            mime="application/json",
            relationship="supplement",
            description="证照元数据 / metadata of the license (GB/T 36903)",
        ),
    )


def _texts(place: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(place, value)]
    if isinstance(value, Mapping):
        if "label" in value and "value" in value:  # name the field as the clerk knows it
            return [(value["label"], value["value"]), (value["label"], value["label"])]
        return [each for key, inner in value.items() for each in _texts(key, inner)]
    if isinstance(value, list | tuple):
        return [each for inner in value for each in _texts(place, inner)]
    return []


@cache
def _read_forms(folder: Path) -> dict[str, Form]:
    path = folder / "faces.toml"
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(error), file=str(path)) from error
    return {key: _form(path, key, table) for key, table in tables.items()}


def _form(path: Path, key: str, table: Any) -> Form:
    try:
        module = float(table.get("module", qr.MIN_PAPER_MODULE_MM))
        form = Form(
            template=path.parent / str(table["template"]),
            module=module,
            module_duplicate=float(table.get("module_duplicate", module)),
            authority=str(table.get("authority", "发证机关")),
            left=tuple(str(each) for each in table.get("left", ())),
            number_apart=bool(table.get("number_apart", False)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"[{key}] is wrong or incomplete: {error}", file=str(path)) from error
    if min(form.module, form.module_duplicate) < qr.MIN_PAPER_MODULE_MM:
        raise ConfigError(f"[{key}] module is below {qr.MIN_PAPER_MODULE_MM} mm", file=str(path))
    if not form.template.is_file():
        raise ConfigError(f"[{key}] there is no {form.template.name}", file=str(path))
    return form
