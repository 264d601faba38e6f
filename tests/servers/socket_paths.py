"""Paths of Unix sockets, for both readings of a Workload: such as are taken, and such as are not."""

from __future__ import annotations

PATHS = (
    "/a.sock",
    "/run/upstreams/web-1/api.sock",
    "/run/user/1000/A_b-c.d/..x.sock",
    "/.hidden/.a.sock",
    "/a/.sock.d/b.sock",
    "/" + "x" * 101 + ".sock",
)
NO_PATHS = (
    *(
        "",
        "/",
        "a.sock",
        "./a.sock",
        "@a.sock",
        "@/a.sock",
        "\\0a.sock",
        "//a.sock",
        "/a//b.sock",
        "/a/",
        "/a.sock/",
        "/run/api",
    ),
    *(
        "/a/./b.sock",
        "/a/../b.sock",
        "/./a.sock",
        "/../a.sock",
        "/a.sock/b.sock",
        "/.sock",
        "/a/.sock",
        "/a/.sock/b.sock",
    ),
    *("/a b.sock", "/a\\n.sock", "/a.sock\\n", "/a@b.sock", "/a:b.sock", "/é.sock", "/%61.sock", "/a.SOCK", "~/a.sock"),
    *("/etc/passwd", "/run/docker.sock.bak", "/" + "x" * 102 + ".sock", "unix:/a.sock", "/a*.sock", "/$HOME/a.sock"),
)
