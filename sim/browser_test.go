package sim

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/plugin/require"
)

// visit does with the page what people do, and leaves what it saw as its title.
const visit = `<script>
const seen = [], press = key => dispatchEvent(new KeyboardEvent("keydown", { key })), at = () => cursor;
const says = (what, is) => { if (!is) seen.push(what); };
onerror = text => { document.title = "error: " + text; };
const began = at();
press("ArrowLeft"); says("left goes back", at() < began);
const before = at();
press("ArrowRight"); says("right goes on", at() > before);
press("Home"); says("Home is where the story begins", at() === story[0].i);
press("ArrowDown"); says("down is the next line of the story", at() === story[1].i);
says("the story shows where one is", document.querySelector("#story .now"));
press("End"); says("End is the end", at() === events.length - 1);
press("ArrowRight"); says("nothing comes after the end", at() === events.length - 1);
press("?"); says("? opens the help", $("help").open);
press("d"); press("Home"); press("ArrowRight"); says("d shows what disks do", $("depths").checked);
document.querySelectorAll("#story tr")[3].click(); says("a click on a line goes there", at() === story[3].i);
actions.all();
const kinds = new Set();
for (let x = gutter; x < width; x += 2) for (let y = 0; y < height; y += 3) { const s = found(x, y); if (s) kinds.add(s.k); }
for (const kind of ["ask", "config", "fault", "msg", "up"]) says("the mouse finds " + kind, kinds.has(kind));
says("each node is described", D.nodes + 1 === $("state").rows.length);
says("the page has not scrolled", scrollY === 0);
document.title = seen.length ? "missing: " + seen.join("; ") : "all is as it should be";
</script></body>`

// TestPageCanBeUsedInABrowser opens a page and goes through it.
func TestPageCanBeUsedInABrowser(t *testing.T) {
	require.Program(t, "chromium", "chromium")
	film := &Film{}
	r := fails(t, film)
	var page bytes.Buffer
	if err := (&Page{Film: film, Report: r, Commands: []string{"make replay"}}).Write(&page); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.html")
	text := bytes.Replace(page.Bytes(), []byte("</body>"), []byte(visit), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	browser := exec.CommandContext(t.Context(), "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--dump-dom", "file://"+path)
	seen, err := browser.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, title, _ := strings.Cut(string(seen), "<title>")
	title, _, _ = strings.Cut(title, "</title>")
	if title != "all is as it should be" {
		t.Error(title)
	}
}
