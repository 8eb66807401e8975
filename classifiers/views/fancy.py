"""Fancy writing: alphabets of signs that look like Latin letters and are passed around for names and posts.

Each alphabet has a sign for the letters from a to z. Most signs are letters of other scripts, so that a word of that
script may be read as a Latin one: what is read here is looked through for names alone.
"""

import string

__all__ = ["SIGNS", "SIGNS_ALONE"]

SIGNS_ALONE = (
    "ᗩᗷᑕᗪᗴᖴᘜᕼᎥᒍᛕᒪᗰᑎᗝᑭ-ᖇᔕ-ᑌᐯᗯ᙭-ᘔ",
    "卂乃匚-乇千Ꮆ卄丨ﾌҜㄥ爪几ㄖ卩Ɋ尺丂ㄒㄩ-山乂ㄚ乙",
    "ค๒ς๔єŦﻮђเןк-๓ภ๏קợгรtยשฬאץչ",
)
"""Alphabets whose words are hardly ever words of another language."""
_OTHERS = (
    "ᗩᕊᑕᗫᗴ-ᘜᕼ-ᒎ-ᒪᗰᑎ-ᑭ-ᖇ--ᑌᐺᗯ᙭-乙",
    "ልጌርዕቿቻኗዘጎጋጕረጠክዐየዒዪነፕሁሀሠሸሃጊ",
    "ąც↋ɖɛʄɠɧıʝƙƖɱŋơ℘զཞʂɬų۷ῳҳყʑ",
    "ąҍçժҽƒցհìʝҟӀʍղօքզɾʂէմѵա×վՀ",
    "αβ¢∂єƒ-нιנкℓмησρ-яѕтυνωχуz",
    "ﾑ乃---ｷ-んﾉﾌズﾚﾶ刀-ｱ-尺丂ｲ-√-乂ﾘ乙",
    "ᎪᏴᏟᎠᎬ-ᏀᎻᏆᎫᏦᏞᎷ-ᎾᏢ-ᎡᏚᎢ-ᏙᎳ-ᎩᏃ",
    "ᏗᏰፈᎴᏋᎦᎶᏂᎥᏠᏦᏝᎷᏁᎧᎮᎤᏒᏕᏖᏬᏉᏇጀᎩፚ",
    "ɑɓʗɗɛʄɠɦɨʝƙɭɱɳσρɋɾʂʈʊʋɯӽყʑ",
    "ე---ⴻ--ჩიჟ--๓-ოპ-რՏϯυ-ຟ-ყ-",
    "-----------ɭ--ѻק-րʂՇ------",
    "авсԁе--һіјк-мпорԛгѕт--шху-",
    "ǟɮƈɖɛʄɢɦɨʝӄʟʍռօքզʀֆȶʊʋաӼʏʐ",
    "Λ--ᎠΣ--Ή-----ПӨ--Я-ƬЦ-Щ-Υ-",
    "ꋬꃳꉔ꒯ꏂꊰꍌꁝ꒐꒻ꀘ꒒ꂵꋊꄲꉣꆰꋪꇙ꓄꒤꒦ꅐꉧꌦꁴ",
    "ꍏꌃꉓꀸꍟꎇꁅꃅꀤꀭꀘ꒒ꂵꈤꂦꉣꆰꋪꌗ꓄ꀎᐯꅏꊼꌩꁴ",
    "ꁲꃃꃇꂡꏹꄙꁍꀍꀤꀭꈵ꒒ꂵꋊꁏꉣꆰꋪꌗ꓅ꐇᐯꅐꉧꌦꑛ",
    "ꪖ᥇ᥴᦔꫀᠻᧁꫝ-ꠓ-ꪶꪑꪀꪮ----ꪻꪊꪜ᭙᥊ꪗɀ",
    "-ɓƈđε∱ɠɧïʆҡℓɱŋσþҩ--ŧ-√щхγẕ",
    "дъсԁё--нїј-ӏ-п-р---тц-шхчз",
    "ﬡ๖ς๔єғ-ђīјќļɱɳøρ-яśťūνώxў-",
    "₳฿₵ĐɆ₣₲ⱧłJ₭Ⱡ₥₦Ø₱-Ɽ₴₮ɄV₩ӾɎⱫ",
    "ⱥƀȼđɇ-ǥħɨɉꝁł--øᵽꝗɍ-ŧᵾ--xɏƶ",
    "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵",
    "ᚨᛒᚲᛞᛖᚠᚷᚺᛁᛃ-ᛚᛗᚾᛟᛈᛩᚱᛊᛏᚢᚡᚹᛪᚤᛉ",
)
_SMALL = {
    sign: letter
    for alphabet in (*_OTHERS, *SIGNS_ALONE)
    for letter, sign in zip(string.ascii_lowercase, alphabet, strict=True)
    if sign > "~"
}
SIGNS = {
    other: letter for sign, letter in _SMALL.items() for other in (sign.lower(), sign.upper()) if len(other) == 1
} | _SMALL
"""The letter that each sign of these alphabets looks like."""
