#!/bin/sh
# Makes the passwords, tokens, keys and certificates of compose.yaml, once: docker/secrets.sh
# They come into docker/secrets, which Git and the images leave out. To replace them, remove that directory and the volumes (`docker compose down --volumes`).
#
# Needs openssl, or the LibreSSL of macOS.
set -eu
cd "$(dirname "$0")"

if [ -e secrets ]; then
  echo "docker/secrets is there already: nothing was changed"
  exit 0
fi

# Compose mounts each file as it is, into containers whose users have other numbers than yours: the files can be read by all, and the directory by you alone.
umask 077
work=$(mktemp -d ./secrets.XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"

random() { openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n'; }
sha256() { openssl dgst -sha256 -r | cut -d ' ' -f 1; }

# ClickHouse is told hashes, its clients passwords.
for user in admin writer reader; do
  random >"clickhouse-$user"
  printf '  <%s><password_sha256_hex>%s</password_sha256_hex></%s>\n' "$user" "$(sha256 <"clickhouse-$user")" "$user"
done >hashes
{ echo '<clickhouse><users>' && cat hashes && echo '</users></clickhouse>'; } >clickhouse-passwords.xml
rm hashes
random >grafana-admin

# So is meshproof: as `meshproof token` makes them.
for holder in 'sender collector' 'auditor auditor'; do
  name=${holder#* }
  printf 'meshproof_%s' "$(random)" >"token-$name"
  printf '%s sha256:%s\n' "$holder" "$(sha256 <"token-$name")" >>meshproof-tokens
done

# The demo's mesh: an authority, which is forgotten again, and a certificate for each of two workloads.
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
key ca.key
# What makes it one is said here, not left to the machine's own openssl.cnf, which may lack it.
printf 'basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n' >extensions
openssl req -new -key ca.key -subj '/CN=shop.example' -out request
openssl x509 -req -in request -signkey ca.key -days 365 -extfile extensions -out mesh-ca.pem 2>/dev/null
for workload in ns/web/sa/frontend ns/shop/sa/orders; do
  name=${workload##*/}
  key "mesh-$name.key"
  cat >extensions <<EOF
subjectAltName = URI:spiffe://shop.example/$workload
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
EOF
  openssl req -new -key "mesh-$name.key" -subj "/CN=$name" -out request
  openssl x509 -req -in request -CA mesh-ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 15)" -days 365 -extfile extensions -out "mesh-$name.pem" 2>/dev/null
done
rm ca.key extensions request

# Its login service: the key that signs end users' tokens, and the public half of it as the proxy reads it.
key mesh-login.key
point() { openssl ec -in mesh-login.key -pubout -outform DER 2>/dev/null | tail -c 64 | "$@" | openssl base64 -A | tr '+/' '-_' | tr -d '='; }
printf '{"keys":[{"kty":"EC","crv":"P-256","kid":"1","alg":"ES256","use":"sig","x":"%s","y":"%s"}]}\n' "$(point head -c 32)" "$(point tail -c 32)" >mesh-jwks.json

chmod 0444 ./*
cd ..
mv "$work" secrets
echo "made docker/secrets: $(ls secrets | tr '\n' ' ')"
