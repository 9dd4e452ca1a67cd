package command

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/rest/client"
)

// build is what the program was built from, and the node that it talks to.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // there were changes that are in no commit
	Go       string `json:"go"`
	Platform string `json:"platform"`

	Node *nodeBuild `json:"node,omitempty"` // nil: none answers
}

type nodeBuild struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

func (s *session) version() *cobra.Command {
	return hasNoNames(&cobra.Command{
		Use: "version", Short: "Print the version of this program and of the node it talks to", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			b := built()
			status, err := s.client().Status(c.Context())
			switch {
			case err == nil:
				b.Node = &nodeBuild{Name: status.Node, Version: status.Version}
			case !errors.Is(err, client.ErrUnreachable):
				return err
			}
			return s.print(b, func(w io.Writer) error { return b.print(w) })
		},
	})
}

// commit is what the program was built from, as far as that is known.
func (b *build) commit() string {
	if b.Modified {
		return b.Commit + " and changes"
	}
	return dash(b.Commit)
}

func (b *build) print(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "lagan %s, commit %s, %s, %s\n", b.Version, b.commit(), b.Go, b.Platform); err != nil || b.Node == nil {
		return err
	}
	_, err := fmt.Fprintf(w, "node %s runs %s\n", b.Node.Name, b.Node.Version)
	return err
}

// built returns what the linker has noted.
func built() *build {
	b := &build{Version: version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, known := debug.ReadBuildInfo()
	if !known {
		return b
	}
	for _, note := range info.Settings {
		switch note.Key {
		case "vcs.revision":
			b.Commit = note.Value
		case "vcs.modified":
			b.Modified = note.Value == "true"
		}
	}
	return b
}

// version is what the program calls itself.
func version() string {
	info, known := debug.ReadBuildInfo()
	if !known || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
