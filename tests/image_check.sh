#!/bin/sh
# Builds the image and runs it as docker-compose.yml does: hardened, on the demo data, with little memory. For `make image-check`.
# Variables: ENGINE (docker), IMAGE (batchlens:check), BUILD_FLAGS and RUN_FLAGS (further flags of `build` and `run`).
set -eu
engine=${ENGINE:-docker} image=${IMAGE:-batchlens:check} name=batchlens-check-$$

if ! "$engine" info >/dev/null 2>&1; then
    echo "image-check: NOT RUN: no container engine answers here ('$engine info' fails). Nothing was built and nothing was checked." >&2
    exit 1
fi

say() { echo "image-check: $*"; }
fail() { say "FAILED: $*" >&2; "$engine" logs "$name" >&2 2>/dev/null || true; exit 1; }
ask() { # METHOD PATH: prints status, entity tag and size of the answer, asked from inside the container
    "$engine" exec "$name" python -c "
import http.client, os, sys
server = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('BATCHLENS_PORT', '8000')), timeout=60)
server.request(*sys.argv[1:])
answer = server.getresponse()
print(answer.status, answer.headers.get('ETag'), len(answer.read()))" "$@"
}
start() { # starts a container and waits until its health check is content
    # shellcheck disable=SC2086  flags are words
    "$engine" run --detach --name "$name" --read-only --tmpfs /tmp:size=64m,mode=1777,noexec,nosuid,nodev --cap-drop ALL --init \
        --security-opt no-new-privileges:true --memory 2g --pids-limit 1024 ${RUN_FLAGS:-} "$image" >/dev/null
    for _ in $(seq 120); do
        state=$("$engine" inspect --format '{{.State.Status}} {{.State.Health.Status}}' "$name")
        case $state in
            "running healthy") ask GET /health/ready | grep -q '^200 ' && return ;;
            running*) ;;
            *) break ;;
        esac
        sleep 1
    done
    fail "it does not become healthy: $state"
}
trap '"$engine" rm --force "$name" >/dev/null 2>&1 || true' EXIT

# shellcheck disable=SC2086
"$engine" build ${BUILD_FLAGS:-} --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" --tag "$image" .
say "built: $("$engine" image inspect --format '{{.Size}} bytes, revision {{index .Config.Labels "org.opencontainers.image.revision"}}' "$image")"

before=
for run in 1 2; do
    start
    for path in /datasets /datasets/shapes/splits/train/batches/0/0.png /datasets/shapes/splits/val/batches/0/0.safetensors?batch_size=16; do
        answer=$(ask GET "$path")
        case $answer in "200 "*) ;; *) fail "GET $path: $answer" ;; esac
        say "run $run: GET $path: $answer"
    done
    [ -z "$before" ] || [ "$before" = "$answer" ] || fail "another answer in another container: $before, then $answer"
    before=$answer
    "$engine" stop --time 35 "$name" >/dev/null
    code=$("$engine" inspect --format '{{.State.ExitCode}}' "$name")
    [ "$code" = 0 ] || fail "told to end, it ended with $code"
    "$engine" rm "$name" >/dev/null
done

# shellcheck disable=SC2086
if text=$("$engine" run --rm --name "$name" --env BATCHLENS_WORKERS=many ${RUN_FLAGS:-} "$image" 2>&1); then fail "a bad setting did not end it: $text"; fi
case $text in *BATCHLENS_WORKERS*) ;; *) fail "a bad setting is not named: $text" ;; esac
say "passed"
