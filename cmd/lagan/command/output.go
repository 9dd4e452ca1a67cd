package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/lagan-storage/lagan/rest/api"
)

// The forms in which a command prints.
const (
	asTable = "table"
	asWide  = "wide" // a table with all columns
	asJSON  = "json"
	asYAML  = "yaml"
	asNames = "name" // of volumes, exports, the nodes of copies, snapshots, operations, nodes, disks or tokens, a line each: for scripts
)

func forms() []string { return []string{asTable, asWide, asJSON, asYAML, asNames} }

// nameless marks a command that prints nothing which has a name.
const nameless = "nameless"

func hasNoNames(c *cobra.Command) *cobra.Command {
	c.Annotations = map[string]string{nameless: nameless}
	return c
}

// checkOutput refuses a form that there is not, before anything is done.
func (s *session) checkOutput(c *cobra.Command) error {
	switch {
	case !slices.Contains(forms(), s.output):
		return usageError{fmt.Errorf("output %q: use table, wide, json, yaml or name", s.output)}
	case s.output == asNames && c.Annotations[nameless] != "":
		return usageError{fmt.Errorf("%s prints nothing that has a name: use table, json or yaml", c.CommandPath())}
	}
	return nil
}

// wide reports whether a table is to have all columns.
func (s *session) wide() bool { return s.output == asWide }

// print writes value in the form that was asked for; as a table people does.
func (s *session) print(value any, people func(w io.Writer) error) error {
	switch s.output {
	case asJSON:
		encoder := json.NewEncoder(s.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	case asYAML:
		text, err := json.Marshal(value)
		if err == nil {
			text, err = yaml.JSONToYAML(text)
		}
		if err != nil {
			return fmt.Errorf("write as YAML: %w", err)
		}
		_, err = s.Out.Write(text)
		return err
	case asNames:
		for _, name := range namesOf(value) {
			if _, err := fmt.Fprintln(s.Out, name); err != nil {
				return err
			}
		}
		return nil
	}
	return people(s.Out)
}

// printOne writes one of several values that come one after the other: JSON as a
// line, YAML as a document.
func (s *session) printOne(value any, people func(w io.Writer) error) error {
	switch s.output {
	case asJSON:
		return json.NewEncoder(s.Out).Encode(value)
	case asYAML:
		text, err := json.Marshal(value)
		if err == nil {
			text, err = yaml.JSONToYAML(text)
		}
		if err == nil {
			_, err = fmt.Fprintf(s.Out, "---\n%s", text)
		}
		return err
	}
	return people(s.Out)
}

// writeFile writes a file, whole or with an error.
func writeFile(name string, write func(w io.Writer) error) error {
	f, err := os.Create(name) //nolint:gosec // the file that the person names
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// namesOf returns what things are called by commands.
func namesOf(value any) (names []string) {
	switch v := value.(type) {
	case api.Volume:
		return []string{v.Name}
	case []api.Volume:
		for i := range v {
			names = append(names, v[i].Name)
		}
	case api.Node:
		return []string{v.Name}
	case []api.Node:
		for i := range v {
			names = append(names, v[i].Name)
		}
	case api.Disk:
		return []string{v.ID}
	case []api.Disk:
		for i := range v {
			names = append(names, v[i].ID)
		}
	case []api.Replica: // a node has one of a volume at most
		for i := range v {
			names = append(names, v[i].Node)
		}
	case api.Export:
		return []string{v.Name}
	case api.Snapshot:
		return []string{v.Name}
	case []api.Snapshot:
		for i := range v {
			names = append(names, v[i].Name)
		}
	case api.Operation:
		return []string{v.ID}
	case []api.Operation:
		for i := range v {
			names = append(names, v[i].ID)
		}
	case api.Token:
		return []string{v.ID}
	case []api.Token:
		for i := range v {
			names = append(names, v[i].ID)
		}
	}
	return names
}
