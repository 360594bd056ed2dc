"""Public services to which stolen data is uploaded, by their domains: hosts whose names may be stored and shown.

A name of a host on a watched page may be the name of a person, so other hosts are known by keyed ids alone. That a
service is in this list causes no request to it. Sources of the list: the services that `docs/sources.md` and lists of
leak monitors name, 2026-11.
"""

from __future__ import annotations

_SERVICES = {
    "pastes": """
        0bin.net 0x0.st bpa.st cl1p.net controlc.com defuse.ca doxbin.com doxbin.org dpaste.com dpaste.org dumpz.org
        gist.github.com ghostbin.com hastebin.com hastebin.skyra.pw haste.zneix.eu ide.one ideone.com jsonblob.com
        justpaste.it katb.in kpaste.net leakpaste.com lesma.eu mystb.in n0paste.eu nekobin.com nopaste.net
        notepad.pw notes.io paste.centos.org paste.debian.net paste.ee paste.fo paste.gg paste.mozilla.org
        paste.opensuse.org paste.rs paste.sh paste.ubuntu.com paste2.org pastebin.ai pastebin.com pastebin.fi
        pastebin.fr pastebin.pl pastelink.net pastes.io pasteio.com pb.plz.ac privatebin.at privatebin.info
        privatebin.net protectedtext.com psty.io rentry.co rentry.org rlim.com share.riseup.net slexy.org snippet.host
        sprunge.us telegra.ph termbin.com textbin.net throwbin.io toptal.com write.as zerobin.net
    """,
    "files": """
        1fichier.com 4shared.com anonfile.com anonfiles.com anonymfile.com anonymousfiles.io archive.org bayfiles.com
        biteblob.com bowfile.com buzzheavier.com catbox.moe cdn.discordapp.com clicknupload.click cloud.mail.ru
        cyberfile.me ddownload.com disk.yandex.ru dosya.co drive.google.com dropbox.com dropmefiles.com fastupload.io
        fex.net file.io file.kiwi filebin.net filechan.org filedropper.com filefactory.com fileditch.com files.catbox.moe
        files.fm filetransfer.io gofile.io hexupload.net icedrive.net keep2share.cc krakenfiles.com letsupload.cc
        limewire.com lufi.io mab.to mediafire.com mega.co.nz mega.io mega.nz megaupload.nz mirrorace.org mixdrop.co
        nitroflare.com onedrive.live.com oshi.at oshi.ec pcloud.com pillowcase.su pixeldrain.com pomf.lain.la qiwi.gg
        rapidgator.net safe.fiery.me send.cm send.vis.ee sendgb.com sendspace.com share-online.is sharefile.com
        smash.com solidfiles.com store1.gofile.io swisstransfer.com temp.sh terabox.com tmpfiles.org transfer.sh
        transfernow.net turbobit.net tusfiles.com ufile.io uguu.se upload.ee uploadfiles.io uploadhaven.com
        uptobox.com usercontent.one userscloud.com vshare.is we.tl wetransfer.com wormhole.app workupload.com zippyshare.com
    """,
    "channels": """
        discord.com discord.gg matrix.to t.me telegram.dog telegram.me tlgrm.eu tox.chat
    """,
}
SERVICES = {domain: kind for kind, domains in _SERVICES.items() for domain in domains.split()}
"""Domain -> `pastes`, `files` or `channels`."""


def service_of(host: str) -> str:
    """The domain of the service that a host belongs to, itself or one above it; '' if it is none of them."""
    labels = host.lower().rstrip(".").split(".")
    return next((name for at in range(len(labels)) if (name := ".".join(labels[at:])) in SERVICES), "")
