# The program of an Xnode, from the one file that `make install` makes. Written by `openmesh xnode export --nixos` of version @version@.
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
  version = "@version@";

  src = requireFile {
    name = "openmesh";
    sha256 = "@sha256@";
    message = ''
      The program of this Xnode is not in the store. On the machine that has it:

        nix-store --add-fixed sha256 /usr/local/bin/openmesh

      Its SHA-256 has to be @sha256@.
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
    platforms = [ "@system@" ];
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
  };
}
