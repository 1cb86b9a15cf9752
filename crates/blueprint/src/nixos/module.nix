# The agent of an Xnode as a service of NixOS. Written by `openmesh xnode export --nixos` of version @version@.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:

let
  cfg = config.services.openmesh-xnode;
  json = pkgs.formats.json { };

  unit = if cfg.name == "default" then "openmesh-xnode" else "openmesh-xnode-${cfg.name}";
  file = "openmesh/xnodes/${cfg.name}.json";
  roots = "/nix/var/nix/gcroots/${unit}";
  command =
    words:
    utils.escapeSystemdExecArgs (
      [ "${cfg.package}/bin/openmesh" ]
      ++ words
      ++ [
        "--agent"
        cfg.name
        "--agent-state"
        (toString cfg.stateDir)
      ]
    );

  applications = if cfg.document == null then { } else cfg.document.applications or { };
  ports = lib.concatMap (application: lib.attrValues (application.ports or { })) (lib.attrValues applications);
  # One that is published on loopback alone stays there.
  isOpen = publish: publish ? port && !(lib.hasPrefix "127." (publish.address or ""));
  published = lib.filter (port: isOpen (port.publish or { })) ports;
  opened =
    protocols:
    map (port: port.publish.port) (lib.filter (port: lib.elem (port.protocol or "tcp") protocols) published);
in
{
  options.services.openmesh-xnode = {
    enable = lib.mkEnableOption "the agent of an Xnode, which runs applications in containers";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The program.";
    };

    name = lib.mkOption {
      type = lib.types.strMatching "[a-z]([a-z0-9-]{0,30}[a-z0-9])?";
      default = "default";
      description = "Instance name of the agent; several share a machine.";
    };

    document = lib.mkOption {
      type = lib.types.nullOr json.type;
      default = null;
      description = ''
        What the machine is to run, as `openmesh app deploy` takes it. The agent takes it when it begins and when it has changed. What people deploy meanwhile
        is not undone by it: the agent says so, and `openmesh app deploy /etc/openmesh/xnodes/NAME.json` takes it over that. Secrets are named here and set by
        `openmesh xnode secret set`: everybody on the machine reads what stands here. Without it documents are deployed by hand alone.
      '';
    };

    stateDir = lib.mkOption {
      type = lib.types.path;
      default = "/var/lib/openmesh/xnodes/${cfg.name}";
      defaultText = lib.literalExpression ''"/var/lib/openmesh/xnodes/''${config.services.openmesh-xnode.name}"'';
      description = "Folder in which the agent keeps everything: documents, secrets, images, data of applications.";
    };

    log = lib.mkOption {
      type = lib.types.str;
      default = "@log@";
      description = "Filter of the agent's log: error, warn, info, debug, trace, or by module.";
    };

    extraPackages = lib.mkOption {
      type = lib.types.listOf lib.types.package;
      default = [ ];
      description = "Packages whose programs the agent finds too: those that bring packages into images that are made on this machine.";
    };

    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Open the ports that the document publishes by number, and 80 and 443 for its domains.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.security.allowUserNamespaces;
        message = "services.openmesh-xnode: applications run in namespaces of users of their own, which security.allowUserNamespaces = false takes away.";
      }
    ];

    # `openmesh app` and `openmesh xnode` for people.
    environment.systemPackages = [ cfg.package ];
    environment.etc = lib.mkIf (cfg.document != null) { ${file}.text = builtins.toJSON cfg.document; };

    systemd.services.${unit} = {
      description = "Openmesh Xnode: agent `${cfg.name}`, which runs applications";
@top@
      # Another version takes over within the service: no application stops, and the old one goes on where the new one does not get there.
      reloadIfChanged = true;
      path = [
        pkgs.e2fsprogs
        pkgs.iproute2
        pkgs.nftables
        pkgs.util-linux
        pkgs.xfsprogs
      ]
      ++ cfg.extraPackages;
      environment = {
        OPENMESH_LOG = cfg.log;
      }
      // lib.optionalAttrs (cfg.document != null) {
        # By variables, so that the agent that takes over has them too.
        OPENMESH_XNODE_DOCUMENT = "/etc/${file}";
        OPENMESH_XNODE_DOCUMENT_BY = "NixOS configuration";
      };
      unitConfig = {
@unit@
      };
      # None of systemd's sandboxes: in namespaces of its own no mount of the agent would reach the machine.
      serviceConfig = {
        ExecStart = command [
          "xnode"
          "agent"
        ];
        ExecReload = command [
          "xnode"
          "service"
          "renew"
          "--within"
        ];
@service@
      };
    };

    # The programs of an agent outlive its version, as copies beside what they run: what those are linked with stays until the machine starts anew.
    systemd.tmpfiles.rules = [
      "R! ${roots} - - - - -"
      "d ${roots} 0755 root root - -"
      "L+ ${roots}/${baseNameOf (toString cfg.package)} - - - - ${cfg.package}"
    ];

    # What is not in the kernel itself is loaded before the agent looks for it.
    boot.kernelModules = [
      "loop"
      "nf_tables"
      "overlay"
      "veth"
      "xfs"
    ];

    # Packets of applications are routed by the machine, and judged by the agent's own table.
    boot.kernel.sysctl."net.ipv4.conf.all.forwarding" = lib.mkOverride 900 true;
    networking.firewall.trustedInterfaces = [ (if config.networking.nftables.enable then "om*" else "om+") ];
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall (
      [
        80
        443
      ]
      ++ opened [
        "tcp"
        "http"
      ]
    );
    networking.firewall.allowedUDPPorts = lib.mkIf cfg.openFirewall (opened [ "udp" ]);

    # Links of applications get their addresses from the agent alone.
    networking.dhcpcd.denyInterfaces = [ "om*" ];
    networking.networkmanager.unmanaged = [ "interface-name:om*" ];
  };
}
