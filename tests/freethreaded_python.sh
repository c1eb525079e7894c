#!/usr/bin/env bash
# Prints the path of a Python without the GIL. Where there is none, it builds one from Debian's sources
# and keeps it: four minutes on two cores, the first time. `make test-freethreaded` asks for it.
#   PYTHON_FREETHREADED  the interpreter to take, whatever else is there
#   OUTLAY_CACHE         where a built one is kept (else the user's cache)
set -euo pipefail

# The newest first; not every mirror has all of them.
SOURCES=("forky 3.14" "sid 3.14" "trixie 3.13")
cache=$(realpath -m "${OUTLAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outlay}")
log=$cache/python.log

has_no_gil() {
    "$1" -c 'import sysconfig; exit(not sysconfig.get_config_var("Py_GIL_DISABLED"))' 2>/dev/null
}

# From the mirror that the machine uses. The suite is listed aside, in lists of its own: nothing that is
# installed can be upgraded from it.
fetch() {
    local suite=$1 version=$2 mirror options
    mirror=$(apt-get update --print-uris | sed -n "s|^'\(.*/debian/\)dists/.*|\1|p" | head -n 1)
    options=(
        -o "Dir::Etc::sourcelist=$PWD/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$PWD/lists" -o "Dir::Cache=$PWD/cache" -o APT::Sandbox::User=root
    )
    echo "deb-src $mirror $suite main" >sources.list &&
        mkdir -p python lists/partial cache/archives/partial &&
        apt-get "${options[@]}" -qq update &&
        apt-get "${options[@]}" -qq source --download-only "python$version" &&
        tar -xf "python${version}"_*.orig.tar.?z -C python --strip-components 1
}

# Installed aside and moved in one step: a build that was interrupted is never taken for a Python.
build() {
    local prefix=$cache/python$1t stage=$PWD/stage
    cd python
    ./configure --prefix="$prefix" --disable-gil --disable-test-modules --without-static-libpython
    make -j"$(nproc)"
    make install DESTDIR="$stage"
    # Another run may have been faster; then its Python is as good.
    mv -T "$stage$prefix" "$prefix" || has_no_gil "$prefix/bin/python3"
}

found=(python3.14t "$cache/python3.14t/bin/python3" python3.13t "$cache/python3.13t/bin/python3")
for python in "${PYTHON_FREETHREADED:-${found[@]}}"; do
    if has_no_gil "$python"; then
        command -v "$python"
        exit
    fi
done
if [[ -n ${PYTHON_FREETHREADED:-} ]] || ! command -v apt-get >/dev/null; then
    echo 'no Python without the GIL: install python3.14t, or set PYTHON_FREETHREADED' >&2
    exit 1
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'if (($?)); then tail -n 30 "$log" >&2; fi; rm -rf "$work"' EXIT
cd "$work"
for source in "${SOURCES[@]}"; do
    read -r suite version <<<"$source"
    if fetch "$suite" "$version" >>"$log" 2>&1; then
        echo "building Python $version without the GIL, once; the log is $log" >&2
        (build "$version") >>"$log" 2>&1
        echo "$cache/python${version}t/bin/python3"
        exit
    fi
done
echo 'no suite of Debian gave a source' >&2
exit 1
