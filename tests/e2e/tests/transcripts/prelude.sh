# Functions for transcripts: see player.rs.
until_says() {
    local text=$1
    shift
    until "$@" 2>&1 | grep -qF -e "$text"; do sleep 0.1; done
}
two_factor_code() {
    until grep -q '^Key: ' "$1" 2>/dev/null; do sleep 0.1; done
    python3 - "$(sed -n 's/^Key: //p' "$1")" <<'END'
import base64, hashlib, hmac, struct, sys, time
key = sys.argv[1].replace(" ", "").upper()
key = base64.b32decode(key + "=" * (-len(key) % 8))
digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
at = digest[-1] & 15
print(f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06}")
END
}
