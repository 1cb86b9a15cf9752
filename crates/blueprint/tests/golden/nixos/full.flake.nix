# An Xnode as a flake: the agent as a service of NixOS, and its document. Written by `openmesh xnode export --nixos` of version 1.2.3.
#
# In the flake of the machine, with this folder as the input `xnode`:
#
#   nixosConfigurations.machine = nixpkgs.lib.nixosSystem {
#     modules = [ ./configuration.nix inputs.xnode.nixosModules.default ];
#   };
#
# SHA-256 of the document, as JSON: a2cc66d9d374546545738a0313de6c8def68a76efe299cdb63d91bb870640b56
{
  description = "An Xnode: agent and document";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      document = builtins.toJSON (import ./document.nix);
      exported = "a2cc66d9d374546545738a0313de6c8def68a76efe299cdb63d91bb870640b56";
    in
    {
      packages.${system}.default = pkgs.callPackage ./package.nix { };

      # The service with the document. A machine with another one takes `service`, and gives it `services.openmesh-xnode.document`.
      nixosModules.default = {
        imports = [ ./module.nix ];
        services.openmesh-xnode.enable = true;
        services.openmesh-xnode.document = import ./document.nix;
      };
      nixosModules.service = ./module.nix;

      # `nix flake check` says whether the document is still the one that was exported. Whoever changes it takes this away.
      checks.${system}.document =
        assert nixpkgs.lib.assertMsg (builtins.hashString "sha256" document == exported)
          "document.nix was changed since it was exported: `openmesh app plan` shows what would be done";
        pkgs.writeText "openmesh-xnode-document.json" document;
    };
}
