package docker

import (
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestMountThatOutlivedTheDaemonIsHeldByWhoHadIt(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Create", "db", "")
		w.ok("Mount", "db", "one")
		w.did("create name=db", "attach db force=false")
		w.start()
		w.plugin.Kept(t.Context(), "db", w.plugin.pointOf("db"), []volume.User{{Mount: "one", Container: "web"}})
		w.usedBy("db", "one=web")
		w.pass(2 * LingerDefault)
		w.did()
		w.ok("Unmount", "db", "one")
		w.usedBy("db")
		w.pass(2 * LingerDefault)
		w.did("detach db")
	})
}

func TestMountThatOutlivedTheDaemonAndNobodyHadLingers(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Create", "db", "")
		w.ok("Mount", "db", "one")
		w.start()
		w.plugin.Kept(t.Context(), "db", "/mnt/of/somebody/else", nil)
		w.pass(2 * LingerDefault)
		w.did("create name=db", "attach db force=false")
		w.plugin.Kept(t.Context(), "db", w.plugin.pointOf("db"), nil)
		w.pass(2 * LingerDefault)
		w.did("detach db")
	})
}
