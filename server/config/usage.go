package config

// Usage is what --help prints.
const Usage = `
Usage: lockstep [options]

Server:
    -a, --addr, --net <host>         Listen for clients on this address (default: 0.0.0.0)
    -p, --port <port>                Listen for clients on this port, -1 for any (default: 4222)
    -n, --name, --server_name <name> Name of this server (default: its id)
    -P, --pid <file>                 Write the process id to this file
    -m, --http_port <port>           Serve monitoring over HTTP on this port
    -ms, --https_port <port>         Serve monitoring over HTTPS on this port
    -c, --config <file>              Read this configuration file; flags win over it
    -t                               Check the configuration file and exit
    -sl, --signal <signal>[=<pid>]   Send a signal to a running server and exit: stop, quit, term, reopen,
                                     ldm or reload. <pid> is a process id, the path of a pid file, or the
                                     beginning of an id and *
        --client_advertise <addr>    Tell clients this host[:port] instead of the one listened on
        --ports_file_dir <dir>       Write <program>_<pid>.ports, which lists all ports, to this directory
        --profile <port>             Serve Go profiles over HTTP on this port

Logging:
    -l, --log <file>                 Write the log to this file
    -T, --logtime                    Put the time on each line (default: true)
        --logtime_utc                Put it in UTC (default: local time)
    -s, --syslog                     Write the log to syslog
    -r, --remote_syslog <url>        Write the log to another machine's syslog (udp://localhost:514)
    -D, --debug                      Log debug statements
    -V, --trace                      Log protocol lines
    -VV                              Log protocol lines, those of the system account too
    -DV                              Same as -D -V
    -DVV                             Same as -D -VV
        --log_size_limit <bytes>     Rotate the log file beyond this size (default: never)
        --max_traced_msg_len <n>     Cut logged payloads to this many bytes (default: never)

JetStream:
    -js, --jetstream                 Keep streams: messages that outlast their receivers
    -sd, --store_dir <dir>           Keep them in this directory (default: one that a reboot may empty)

Cluster:
        --cluster, --cluster_listen <url>
                                     Take connections of other servers here: nats://[user:pass@]host:port,
                                     port -1 for any
        --routes <url>,...           Connect to these servers of the cluster
        --cluster_name <name>        Name of the cluster (default: one that is generated)
        --cluster_advertise <addr>   Tell other servers this host[:port] instead of the one listened on
        --no_advertise               Do not tell clients of other servers
        --connect_retries <n>        Dial a server again that another one told of (default: 0)

Authorization:
        --user <user>                Ask clients for this user
        --pass <password>            and this password
        --auth <token>               Ask clients for this token

TLS:
        --tls                        Use TLS; clients need no certificate
        --tlscert <file>             Certificate of the server
        --tlskey <file>              Its private key
        --tlsverify                  Use TLS; clients need a certificate
        --tlscacert <file>           Authorities that clients' certificates are verified with

Other:
    -h, --help                       Print this text
    -v, --version                    Print the version
        --help_tls                   Print how to use TLS
`

// TLSUsage is what --help_tls prints.
const TLSUsage = `
TLS needs a certificate and its private key, as PEM files:

    lockstep --tls --tlscert server-cert.pem --tlskey server-key.pem

With --tlsverify, clients must present a certificate too, signed by one of the authorities in
--tlscacert, or by one that this machine trusts:

    lockstep --tlsverify --tlscert server-cert.pem --tlskey server-key.pem --tlscacert ca.pem

A configuration file can state the same, and more, in its tls block; any TLS flag replaces the whole
block, and --tls=false drops it.
`
