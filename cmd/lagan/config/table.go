package config

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
)

// table has every setting of a node, in the order of --help.
var table = []Setting{ // constant table: never written
	{Name: "config", Usage: "`FILE` with settings, in YAML", Default: FileDefault, read: path(func(c *Config) *string { return &c.file })},
	{Name: "name", Usage: "`NAME` of this node, the same at every start", Default: "the host's name", read: text(func(c *Config) *string { return &c.Node.Name })},
	{Name: "disk", Usage: "block device, or file `PATH[:SIZE]` that is made if it is missing (repeatable)", List: true, kept: given, read: disk},
	{Name: "no-disk", Usage: "keep no copies on this node", Switch: true, kept: given, read: toggle(func(c *Config) *bool { return &c.Node.NoDisk })},
	{Name: "no-io-uring", Usage: "read and write disks by blocking calls, on a kernel whose io_uring is not to be trusted", Switch: true, kept: given, read: toggle(func(c *Config) *bool { return &c.Node.NoURing })},
	{Name: "scrub-every", Usage: "`DURATION` after which all that is on a disk is read again, to find what has rotted; 0: only when asked for", kept: given, Default: "168h", read: duration(func(c *Config) *time.Duration { return &c.Node.ScrubEvery })},
	{Name: "scrub-rate", Usage: "`SIZE` that this may read of each disk a second", kept: given, Default: "32MiB", read: size(func(c *Config) *int64 { return &c.Node.ScrubRate })},
	{Name: "heal-after", Usage: "`DURATION` for which a node or disk is gone before its copies are made anew elsewhere; 0: never", kept: given, Default: "10m", read: duration(func(c *Config) *time.Duration { return &c.Node.HealAfter })},
	{Name: "promise-max", Usage: "`PERCENT` of what each disk has that may be promised to volumes, which are thin; 100: no more than there is", kept: given, Default: "200", read: promiseMax},
	{Name: "zone", Usage: "`ZONE`: copies of a volume go to different ones", kept: given, read: zone},
	{Name: "label", Usage: "`KEY=VALUE` that volumes can ask of the nodes of their copies (repeatable)", List: true, kept: given, read: label},
	{Name: "listen", Usage: "`HOST:PORT` for data of other nodes; the other ports are on the same host", kept: always, Default: "address of the default route:7300", read: address(func(c *Config) *string { return &c.Node.Listen })},
	{Name: "advertise", Usage: "`HOST:PORT` where other nodes reach that, if they do not reach --listen", kept: given, read: address(func(c *Config) *string { return &c.Node.Advertise })},
	{Name: "api", Usage: "`HOST:PORT` of the API, if it is not port 7301", kept: given, read: address(func(c *Config) *string { return &c.Node.API })},
	{Name: "nbd-listen", Usage: "`HOST:PORT` where exported volumes are served to block clients that hold a certificate of the cluster; without it only at the socket nbd.sock", kept: given, read: address(func(c *Config) *string { return &c.Node.NBDListen })},
	{Name: "etcd-peer", Usage: "`HOST:PORT` where this node's member of the metadata store serves the others, if it is not port 7302", kept: given, read: address(func(c *Config) *string { return &c.Node.EtcdPeer })},
	{Name: "etcd-client", Usage: "`HOST:PORT` where it serves clients, if it is not port 7303", kept: given, read: address(func(c *Config) *string { return &c.Node.EtcdClient })},
	{Name: "data", Usage: "`DIRECTORY` of what this node must find again", Default: "/var/lib/lagan", read: path(func(c *Config) *string { return &c.Node.Data })},
	{Name: "run", Usage: "`DIRECTORY` of the sockets lagan.sock and nbd.sock and of what ends with the boot", Default: "/run/lagan", read: path(func(c *Config) *string { return &c.Node.Run })},
	{Name: "plugin-name", Usage: "`NAME` of the Docker volume plugin, for docker volume create -d NAME", kept: given, Default: daemon.PluginNameDefault, read: pluginName},
	{Name: "plugin-socket", Usage: "`SOCKET` of the plugin, if it is not " + daemon.PluginDir + "/NAME.sock where Docker is; none: no plugin", kept: given, read: socket(func(c *Config) *string { return &c.Node.Plugin.Socket })},
	{Name: "plugin-linger", Usage: "`DURATION` for which a volume stays attached after its last container", kept: given, Default: "10s", read: duration(func(c *Config) *time.Duration { return &c.Node.Plugin.Linger })},
	{Name: "plugin-engine", Usage: "`SOCKET` of the Docker engine, which is made to look for its plugins; none: it is not", kept: given, Default: "/var/run/docker.sock", read: socket(func(c *Config) *string { return &c.Node.Plugin.Engine })},
	{Name: "cluster", Usage: "`NAME` of the cluster that a first node makes", Default: "lagan", read: text(func(c *Config) *string { return &c.Node.Cluster })},
	{Name: "join", Usage: "`HOST:PORT` of the API of any node of the cluster that a new node joins, as lagan join does", read: address(func(c *Config) *string { return &c.Join })},
	{Name: "token", Usage: "`TOKEN` to join with, printed by lagan up and lagan token create", read: text(func(c *Config) *string { return &c.Token })},
	{Name: "etcd-endpoints", Usage: "client `URL`s of an etcd that others run, in place of the nodes' own metadata store", List: true, kept: given, read: endpoints},
	{Name: "etcd-ca", Usage: "`FILE` with the authority of that etcd, if it is none that this machine trusts", kept: given, read: path(func(c *Config) *string { return &c.Node.Etcd.CA })},
	{Name: "etcd-cert", Usage: "`FILE` with the certificate that this node shows to that etcd", kept: given, read: path(func(c *Config) *string { return &c.Node.Etcd.Cert })},
	{Name: "etcd-key", Usage: "`FILE` with its key", kept: given, read: path(func(c *Config) *string { return &c.Node.Etcd.Key })},
	{Name: "log-json", Usage: "log as JSON", Switch: true, read: toggle(func(c *Config) *bool { return &c.LogJSON })},
	{Name: "debug", Usage: "log more", Switch: true, read: toggle(func(c *Config) *bool { return &c.Debug })},
}

// Table returns every setting.
func Table() []Setting { return table }

// dependent makes the defaults that depend on the machine, which Default names.
var dependent = map[string]func(context.Context) string{ // constant table: never written
	"name": func(context.Context) string {
		name, err := os.Hostname()
		if err != nil {
			return "" // asked for when it is needed
		}
		return name
	},
	"listen": func(ctx context.Context) string { return net.JoinHostPort(outwards(ctx), "7300") },
}

// outwards returns the address of this machine from which it reaches others. No
// packet is sent.
func outwards(ctx context.Context) string {
	const elsewhere = "192.0.2.1:9" // of a network for documentation
	connection, err := new(net.Dialer).DialContext(ctx, "udp", elsewhere)
	if err != nil {
		return "127.0.0.1"
	}
	defer func() { _ = connection.Close() }() // nothing was written
	host, _, err := net.SplitHostPort(connection.LocalAddr().String())
	if err != nil {
		return "127.0.0.1"
	}
	return host
}
