# The document of an Xnode, as `openmesh app deploy` takes it. Written by `openmesh xnode export --nixos` of version 1.2.3.
# Everybody on the machine can read what stands here: a secret is named, and never stands here itself.
# Secrets that it needs, each set there by `openmesh xnode secret set NAME`: db-password, ghcr, redis, s3, token.
{
  version = 1;
  machine = {
    name = "kitchen";
    subnet = "10.90.0.0/16";
    ports = { first = 30000; last = 30999; };
    reserve = { memory = "1 GiB"; disk = "10 GiB"; };
    registries = [
      { host = "ghcr.io"; username = "someone"; password = { secret = "ghcr"; }; }
    ];
    backups = {
      cloud = {
        kind = "s3";
        address = "https://s3.example.org";
        bucket = "backups";
        region = "eu-1";
        key = "AKIA1234";
        secret = { secret = "s3"; };
      };
      friend = {
        kind = "peer";
        address = "friend.example.org:4100";
        node = "ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12";
      };
    };
  };
  applications = {
    cache = {
      template = {
        name = "redis";
        version = "7.2.0";
        answers = { memory = "64 MiB"; password = { secret = "redis"; }; };
      };
      variables = { EXTRA = "1"; };
      wish = "stopped";
    };
    db = {
      description = "The shop's data";
      image = "docker.io/library/postgres:16@sha256:1111111111111111111111111111111111111111111111111111111111111111";
      user = "999:999";
      variables = { POSTGRES_DB = "shop"; POSTGRES_PASSWORD = { secret = "db-password"; }; TZ = "Etc/UTC"; };
      volumes = { data = { path = "/var/lib/postgresql/data"; size = "10 GiB"; }; };
      ports = { sql = { port = 5432; }; };
      health = { command = [ "pg_isready" "-U" "postgres" ]; interval = "2s"; };
      limits = { processors = 1.5; memory = "1 GiB"; processes = 300; rate = "100 Mbit/s"; };
      capabilities = [ "CHOWN" "DAC_OVERRIDE" "FOWNER" "SETGID" "SETUID" ];
      switch = { kind = "hold"; gate = "2m"; probation = "10m"; compatible = true; };
      backup = {
        to = "friend";
        schedule = "30 3 * * *";
        keep = { last = 1; daily = 14; };
        drill = "0 5 * * 0";
      };
      jobs = {
        vacuum = { command = [ "vacuumdb" "--all" ]; schedule = "0 4 * * 6"; timeout = "30m"; };
      };
      stop_signal = "INT";
      stop_after = "1m";
    };
    web = {
      recipe = {
        base = "docker.io/library/debian:12";
        debian = { nginx-light = "1.22.1-9"; };
        npm = { "@scope/tool" = "1.2.3"; };
        files = {
          "/etc/motd" = {
            content = ''
              hello
              world
            '';
          };
        };
        command = [ "nginx" "-g" "daemon off;" ];
      };
      arguments = [ "--verbose" ];
      workdir = "/srv";
      files = {
        "/etc/nginx/token" = { content = { secret = "token"; }; mode = "0600"; owner = "33:33"; };
      };
      volumes = {
        assets = { path = "/assets"; size = "1 TiB"; read_only = true; };
        cache = { path = "/cache"; size = "300 MB"; backup = false; };
      };
      ports = {
        dns = { port = 53; protocol = "udp"; publish = { }; };
        http = { port = 8080; publish = { port = 80; }; };
        local = { port = 9000; publish = { port = 9000; address = "127.0.0.1"; }; };
      };
      domains = {
        "admin.example.org" = {
          port = "http";
          audience = "wallets";
          wallets = [ "0x52908400098527886E0F7030069857D2E4169EE7" ];
        };
        "shop.example.org" = { port = "http"; };
      };
      links = [ "db" ];
      after = [ "db" ];
      health = { http = { port = "http"; path = "/health?full=1"; }; timeout = "500ms"; failures = 5; };
      root = "writable";
      restart = "on-failure";
      instances = 3;
      jobs = {
        migrate = { command = [ "migrate" "up" ]; occasion = "switch"; };
      };
      wish = "paused";
    };
  };
}
