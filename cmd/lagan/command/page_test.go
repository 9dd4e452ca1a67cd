package command

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// update has the test write the page and not compare it.
var update = flag.Bool("update", false, "write the table of docs/commands.md")

// rows returns a line for each command that does something, in the order of --help.
func rows(c *cobra.Command) (text string) {
	for _, one := range c.Commands() {
		switch {
		case one.Name() == "completion" || one.Name() == "help" || one.Hidden: // cobra's own
		case one.HasSubCommands():
			text += rows(one)
		default:
			text += fmt.Sprintf("| `%s` | %s |\n", strings.TrimSuffix(one.UseLine(), " [flags]"), one.Short)
		}
	}
	return text
}

func TestPageNamesEveryCommand(t *testing.T) {
	const page, begin, end = "../../../docs/commands.md", "<!-- commands -->\n", "<!-- end of commands -->"
	table := "| command | what it does |\n|---|---|\n" + rows(newRoot(Streams{}))
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	has, after, ended := strings.Cut(rest, end)
	switch {
	case !found || !ended:
		t.Fatalf("%s has no table", page)
	case *update:
		if err := os.WriteFile(page, []byte(before+begin+table+end+after), 0o644); err != nil { //nolint:gosec // a page is for all
			t.Fatal(err)
		}
	case has != table:
		t.Errorf("%s is not what the commands say: go test ./cmd/lagan/command -update", page)
	}
}
