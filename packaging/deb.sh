#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Debian packages of what make install installs: deb.sh DIRECTORY, in the build directory, writes four of
# them there. dmf has the command, libdmf the library and what it reads, python3-dmf the package of Python
# and the kernel of notebooks, dmf-doc examples and documents. Needs dpkg-dev and binutils.
set -eu
srcdir=${srcdir:?run this through make deb}
make=${MAKE:-make}
target=$1
for tool in dpkg-deb dpkg-shlibdeps strip; do
  command -v $tool >/dev/null || { echo "make deb needs $tool (Debian: dpkg-dev, binutils)" >&2; exit 1; }
done
version=${VERSION:?}
version=${version/-/\~}
architecture=$(dpkg --print-architecture)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
all=$scratch/all
mkdir -p "$target" "$scratch/debian"

$make -s --no-print-directory install DESTDIR="$all" prefix=/usr libdir=/usr/lib mandir=/usr/share/man \
  pythondir=/usr/lib/python3/dist-packages zshcompletiondir=/usr/share/zsh/vendor-completions >/dev/null
if command -v cmark-gfm >/dev/null; then
  $make -s --no-print-directory book book_directory="$scratch/book"
  cp "$scratch/book/dmf.html" "$all/usr/share/doc/dmf/"
fi
[ ! -f "$all/usr/share/jupyter/kernels/dmf/kernel.json" ] ||
  sed -i 's|"argv": \["[^"]*"|"argv": ["/usr/bin/python3"|' "$all/usr/share/jupyter/kernels/dmf/kernel.json"
rm -f "$all/usr/share/doc/dmf/COPYING"

# move PACKAGE PATH...: what of the whole belongs to a package
move() {
  local package=$scratch/$1 path
  shift
  for path; do
    for path in "$all"/$path; do
      [ -e "$path" ] || continue
      mkdir -p "$package$(dirname "${path#"$all"}")"
      mv "$path" "$package$(dirname "${path#"$all"}")/"
    done
  done
}
move python3-dmf usr/lib/python3 usr/share/jupyter
move dmf-doc usr/share/doc/dmf
move libdmf usr/lib usr/include usr/share/dmf/std usr/share/man/man3
move dmf usr
[ -z "$(find "$all" -type f)" ] || { find "$all" -type f >&2; exit 1; }

# The libraries that files are linked to, as packages.
printf 'Source: dmf\n\nPackage: dmf\nArchitecture: any\n' >"$scratch/debian/control"
needs() {
  (cd "$scratch" && dpkg-shlibdeps -O --ignore-missing-info "$@" 2>debian/complaints || cat debian/complaints >&2) |
    sed 's/^shlibs:Depends=//'
}
# The packages of the libraries that are loaded by their names, one of which others can stand for.
blas() {
  local name=${LIBOPENBLAS%.so.*} number=${LIBOPENBLAS##*.so.}
  sed -n "s/^$name $number //p" /var/lib/dpkg/info/*.shlibs | head -n 1
}
hdf5() { dpkg-query -S "*/$LIBHDF5" 2>/dev/null | sed -n '1s/[:,].*//p'; }

describe() { # describe PACKAGE ARCHITECTURE DEPENDS SUMMARY: its control file, the long text from standard input
  local package=$scratch/$1 size
  mkdir -p "$package/DEBIAN" "$package/usr/share/doc/$1"
  cat >"$package/usr/share/doc/$1/copyright" <<END
dmf, mean-field theory of neural networks.
Copyright: its authors.
License: GPL-3.0-or-later; on Debian systems, see /usr/share/common-licenses/GPL-3.
The digits in examples/data are from E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits,
UCI Machine Learning Repository (1998), CC BY 4.0.
END
  size=$(du -sk "$package/usr" | cut -f 1)
  {
    printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: %s\n' "$1" "$version" "$2" "${DEBEMAIL:-dmf <root@localhost>}"
    printf 'Section: math\nPriority: optional\nInstalled-Size: %s\n' "$size"
    printf '%s\n' "$3" | sed '/: *$/d'
    printf 'Description: %s\n' "$4"
    sed 's/^/ /'
  } >"$package/DEBIAN/control"
}
pack() { # pack PACKAGE
  local package=$scratch/$1
  find "$package/usr/share/man" -name '*.[1-8]' -exec gzip -9n {} + 2>/dev/null || true
  (cd "$package" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  find "$package" -type d -exec chmod 755 {} +
  dpkg-deb --root-owner-group --build "$package" "$target/$(basename "$package")_${version}_$(
    sed -n 's/^Architecture: //p' "$package/DEBIAN/control").deb" >/dev/null
}

strip --strip-unneeded "$scratch"/dmf/usr/bin/dmf "$scratch"/libdmf/usr/lib/libdmf.so.*
strip --strip-debug "$scratch"/libdmf/usr/lib/libdmf.a
chmod 644 "$scratch"/libdmf/usr/lib/libdmf.so.*
mkdir -p "$scratch/libdmf/DEBIAN"
echo "libdmf 0 libdmf (>= $version)" >"$scratch/libdmf/DEBIAN/shlibs"
echo 'activate-noawait ldconfig' >"$scratch/libdmf/DEBIAN/triggers"
describe dmf "$architecture" "Depends: libdmf (= $version), $(needs "$scratch/dmf/usr/bin/dmf")
Recommends: gnuplot-nox | gnuplot
Suggests: dmf-doc, python3-dmf" 'mean-field theory of neural networks: the command' <<'END'
A script declares data, a network and its training, and asks for the theory
of the infinitely wide network or for an ensemble of networks of real width;
both answer with the same fields and with error bars.
END
describe libdmf "$architecture" "Depends: $(needs "$scratch"/libdmf/usr/lib/libdmf.so.*), $(blas)
Recommends: $(hdf5), gnuplot-nox | gnuplot" 'mean-field theory of neural networks: the library' <<'END'
The library that runs dmf scripts, with its header, and the standard library
of the language.
END
describe dmf-doc all "Suggests: dmf" 'mean-field theory of neural networks: documents' <<'END'
Tutorial, theory, gallery and examples of dmf, and the manual as one book.
END
packages='dmf libdmf dmf-doc'
if [ -d "$scratch/python3-dmf" ]; then
  describe python3-dmf all "Depends: python3 (>= 3.8), python3-numpy, libdmf (>= $version)
Suggests: python3-ipykernel, python3-matplotlib" 'mean-field theory of neural networks: the Python package' <<'END'
Sessions of dmf whose values are numpy arrays with errors and axes, cells of
notebooks, and the kernel of Jupyter.
END
  packages+=' python3-dmf'
fi
for package in $packages; do pack $package; done
ls "$target"/*_"$version"_*.deb
