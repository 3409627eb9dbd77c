# Sourced by the commands beside it: the system's packages and the virtual environment, made only where missing.
# Expects the working directory to be the top of the repository.

say() { printf '%s\n' "==> $*" >&2; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "must run as root: $1"
}

# Installs what the package lists name and the system lacks.
install_packages() {
    local missing=() package commands
    while read -r package commands; do
        [ -n "$package" ] || continue
        is_provided "$package" "$commands" || missing+=("$package")
    done < <(sed 's/#.*//' "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0

    command -v apt-get >/dev/null || die "please install first (there is no apt-get here to do it with): ${missing[*]}"
    need_root "these packages are missing: ${missing[*]}"
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# Whether a package is installed, or one of its commands (separated by |) is there from elsewhere.
is_provided() {
    local command
    for command in ${2//|/ }; do
        command -v "$command" >/dev/null && return 0
    done
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The first Python that is new enough: the system's, else the one on PATH.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    die "Python 3.11 or newer with its venv module was not found"
}

# Makes .venv hold what a lock file names, and the project itself from this tree: editable, so that a change takes effect
# at the next start. A stamp of what is installed keeps the second run quick. requirements-dev.lock contains
# requirements.lock, so one environment serves both commands.
make_environment() {
    local lock=$1
    if grep -qxF "$(stamp_of "$lock")" .venv/installed 2>/dev/null && [ -x .venv/bin/hullwatch ]; then
        return 0
    fi
    if [ "$(cat .venv/made-for 2>/dev/null)" != "$PWD" ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        local python
        python=$(find_python)
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
        printf '%s\n' "$PWD" >.venv/made-for
    fi
    say "installing from $lock"
    rm -f .venv/installed
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r requirements-build.lock -r "$lock" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . >&2
    stamp_of requirements.lock >.venv/installed
    if [ "$lock" != requirements.lock ]; then
        stamp_of "$lock" >>.venv/installed
    fi
}

# One line that changes when an installation from this lock file would.
stamp_of() {
    local sum
    sum=$(cat "$1" requirements-build.lock pyproject.toml hatch_build.py agent/__init__.py collectors/ebpf/kernel/* |
        sha256sum)
    printf '%s %s\n' "$1" "${sum%% *}"
}

# Where this machine gets Debian 12 from, in the one-line format of sources.list.
debian_sources() {
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        grep -E ' bookworm[a-z-]* main$' || echo 'deb http://deb.debian.org/debian bookworm main'
}
