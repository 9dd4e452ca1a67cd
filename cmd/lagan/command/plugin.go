package command

import (
	"github.com/spf13/pflag"

	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
	"github.com/lagan-storage/lagan/plugin/docker"
)

// pluginFlags are the flags of lagan up about the container engine.
func pluginFlags(f *pflag.FlagSet, p *daemon.Plugin) {
	f.StringVar(&p.Socket, "plugin-socket", "", "socket of the Docker volume plugin, none for no plugin (default "+daemon.PluginSocketDefault+" where Docker is)")
	f.DurationVar(&p.Linger, "plugin-linger", docker.LingerDefault, "how long a volume stays attached after its last container")
	f.StringVar(&p.Engine, "plugin-engine", "/var/run/docker.sock", "socket of the Docker engine, which is made to look for its plugins; none: it is not")
}
