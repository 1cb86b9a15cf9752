# The document of an Xnode, as `openmesh app deploy` takes it. Written by `openmesh xnode export --nixos` of version 1.2.3.
# Everybody on the machine can read what stands here: a secret is named, and never stands here itself.
# Secrets that it needs, each set there by `openmesh xnode secret set NAME`: db-password.
{
  version = 1;
  applications = {
    db = {
      image = "docker.io/library/postgres:16";
      variables = { POSTGRES_PASSWORD = { secret = "db-password"; }; };
      volumes = { data = { path = "/var/lib/postgresql/data"; size = "10 GiB"; }; };
      ports = {
        sql = { port = 5432; publish = { port = 5432; address = "127.0.0.1"; }; };
      };
      health = { command = [ "pg_isready" ]; };
      limits = { memory = "1 GiB"; };
      capabilities = [ "CHOWN" "SETGID" "SETUID" ];
      switch = { gate = "2m"; probation = "10m"; };
    };
    web = {
      image = "docker.io/shop/web:1";
      variables = { MODE = "quiet"; };
      ports = { http = { port = 8080; publish = { }; }; };
      links = [ "db" ];
      root = "writable";
      instances = 2;
      jobs = {
        migrate = { command = [ "migrate" "up" ]; occasion = "switch"; };
      };
    };
  };
}
