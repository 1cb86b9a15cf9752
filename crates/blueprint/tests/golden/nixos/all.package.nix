# The program of an Xnode, from the one file that `make install` makes. Written by `openmesh xnode export --nixos` of version 1.2.3.
#
# The file is known by its hash alone. It comes into the store by hand, once on each machine that builds this:
#
#   nix-store --add-fixed sha256 /usr/local/bin/openmesh
#
# or from a server, where this takes the place of `requireFile`:
#
#   fetchurl { url = "https://..."; sha256 = "..."; }
{
  lib,
  stdenv,
  autoPatchelfHook,
  requireFile,
  libseccomp,
}:

stdenv.mkDerivation {
  pname = "openmesh";
  version = "1.2.3";

  src = requireFile {
    name = "openmesh";
    sha256 = "d69ea8cda2433733c1ce02de65da8f48e6a3dbba6bb18876a2062908e54ef7cb";
    message = ''
      The program of this Xnode is not in the store. On the machine that has it:

        nix-store --add-fixed sha256 /usr/local/bin/openmesh

      Its SHA-256 has to be d69ea8cda2433733c1ce02de65da8f48e6a3dbba6bb18876a2062908e54ef7cb.
    '';
  };

  dontUnpack = true;
  dontStrip = true;

  nativeBuildInputs = [ autoPatchelfHook ];
  buildInputs = [
    stdenv.cc.cc.lib
    libseccomp
  ];

  # The file carries the programs of the agent behind its own end, where a change of the file would lose them: it is taken apart first, by itself. It was linked for
  # the loader of other distributions, so NixOS' own one runs it here, and is written into all of them afterwards.
  installPhase = ''
    runHook preInstall
    mkdir -p $out/bin $out/libexec/openmesh
    "$(< $NIX_BINTOOLS/nix-support/dynamic-linker)" --library-path ${lib.makeLibraryPath [ stdenv.cc.cc.lib ]} \
      $src xnode apart --binary $src --to $out/libexec/openmesh
    ln -s ../libexec/openmesh/openmesh $out/bin/openmesh
    runHook postInstall
  '';

  meta = {
    description = "Agent of an Xnode, which runs applications";
    license = lib.licenses.asl20;
    mainProgram = "openmesh";
    platforms = [ "x86_64-linux" ];
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
  };
}
