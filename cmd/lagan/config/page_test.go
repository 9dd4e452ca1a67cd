package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// update has the test write the page and not compare it.
var update = flag.Bool("update", false, "write the tables of docs/configuration.md")

const (
	page      = "../../../docs/configuration.md"
	pageBegin = "<!-- settings -->\n"
	pageEnd   = "<!-- end of settings -->"
)

// render returns the table of settings as the page has it.
func render() string {
	var b strings.Builder
	b.WriteString("| flag · variable · key | what | default | remembered |\n|---|---|---|---|\n")
	for i := range table {
		s := &table[i]
		value, usage := pflag.UnquoteUsage(&pflag.Flag{Usage: s.Usage, Value: &value{setting: s}})
		remembered := map[kept]string{never: "", given: "yes", always: "yes"}[s.kept]
		if s.Name == "name" || s.Name == "cluster" {
			remembered = "for good"
		}
		name := "`--" + s.Name + "`"
		if !s.Switch {
			name = fmt.Sprintf("`--%s %s`", s.Name, value)
		}
		key := "`" + s.Name + ":`"
		if s.Name == "config" {
			key = "" // a file does not name another
		}
		_, _ = fmt.Fprintf(&b, "| %s<br>`%s` %s | %s | %s | %s |\n", name, s.Variable(), key, usage, s.Default, remembered) // never fails
	}
	return b.String()
}

// split returns the page around its table, and the table.
func split(t *testing.T) (before, table, after string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), pageBegin)
	table, after, ended := strings.Cut(rest, pageEnd)
	if !found || !ended {
		t.Fatalf("%s has no %s … %s", page, strings.TrimSpace(pageBegin), pageEnd)
	}
	return before + pageBegin, table, pageEnd + after
}

func TestPageNamesEverySetting(t *testing.T) {
	before, table, after := split(t)
	if *update {
		if err := os.WriteFile(page, []byte(before+render()+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != render() {
		t.Errorf("%s is not what the table of settings says: go test ./cmd/lagan/config -update", page)
	}
}

func TestExampleOfThePageIsTaken(t *testing.T) {
	before, _, after := split(t)
	_, rest, found := strings.Cut(before+after, "```yaml\n")
	example, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatalf("%s has no example", page)
	}
	c := mustLoad(t, start{file: example})
	if err := c.Node.Complete(); err != nil {
		t.Fatal(err)
	}
	if err := c.Node.Check(); err != nil {
		t.Errorf("the example: %v", err)
	}
	if c.Node.Zone == "" || len(c.Node.Disks) == 0 {
		t.Errorf("the example says %+v", c.Node)
	}
	if unit, err := os.ReadFile(filepath.FromSlash("../systemd/lagan.service")); err != nil || !strings.Contains(string(unit), "Type=notify") {
		t.Errorf("the unit of systemd: %v", err)
	}
}
