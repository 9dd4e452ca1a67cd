package docker

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestInlineSpecAndOptionsAreReadStrictly(t *testing.T) {
	for _, c := range []struct{ name, options, did, says string }{
		{name: "db", options: `{}`, did: "create name=db"},
		{name: "db", options: `{"size":"10G","repl":"2"}`, did: "create name=db,size=10GiB,replicas=2"},
		{name: "size=10G,repl=2,name=db", options: `{}`, did: "create name=db,size=10GiB,replicas=2"},
		{name: "name=my.db", options: `{"fs":"xfs"}`, did: "create name=my.db,fs=xfs"},
		{name: "db", options: `{"preempt":"true"}`, did: "create name=db,preempt=true"},

		{name: "My_Project_DB", options: `{}`, did: "create name=My_Project_DB"},
		{name: strings.Repeat("0123456789abcdef", 4), options: `{}`, did: "create name=" + strings.Repeat("0123456789abcdef", 4)},

		{name: "db", options: `{"sise":"10G"}`, says: "did you mean size?"},
		{name: "db", options: `{"size":"oops"}`, says: `"oops"`},
		{name: "db", options: `{"snapshot_schedule":"daily"}`, says: "a rule as in"},
		{name: "db", options: `{"uid":"5"}`, says: "cannot do that yet"},
		{name: "db-test", options: `{"parent":"db@monday"}`, did: "create name=db-test,parent=db@monday"},
		{name: "name=db-test,parent=db", options: `{"snapshot_schedule":"every=60m/24+daily=12:00/7"}`, did: "create name=db-test,parent=db,snapshot_schedule=every=1h/24+daily=12:00/7"},
		{name: "block_size=64,name=db", options: `{}`, says: `there is no option "block_size"`},
		{name: "size=10G", options: `{}`, says: "no name"},
		{name: "_db", options: `{}`, says: "cannot be the name"},
		{name: "name=db,size=1G", options: `{"size":"2G"}`, says: "twice"},
	} {
		in(t, func(w *world) {
			a := w.call("Create", `{"Name":"`+c.name+`","Opts":`+c.options+`}`)
			if (a.Err == "") != (c.says == "") || !strings.Contains(a.Err, c.says) {
				t.Errorf("%s %s: %q, want it to say %q", c.name, c.options, a.Err, c.says)
			}
			if c.did == "" {
				w.did()
				return
			}
			w.did(c.did)
			if v := w.ok("Get", c.name, "").Volume; v.Name != c.name {
				t.Errorf("the engine knows %q as %q", c.name, v.Name)
			}
		})
	}
}

func TestConcurrentCreateMakesOneVolume(t *testing.T) {
	in(t, func(w *world) {
		var engines sync.WaitGroup
		for range 8 {
			engines.Go(func() {
				if a := w.call("Create", `{"Name":"db","Opts":{"size":"1G"}}`); a.Err != "" {
					t.Error(a.Err)
				}
			})
		}
		engines.Wait()
		w.did("create name=db,size=1GiB")
		if a := w.call("Create", `{"Name":"db","Opts":{"size":"2G"}}`); !strings.Contains(a.Err, "another size") {
			t.Errorf("a creation that differs: %+v", a)
		}
		w.did()
	})
}

func TestRemoveOfWhatIsInUseNamesWhere(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Create", "db", "")
		w.ok("Mount", "db", "one")
		w.did("create name=db", "attach db force=false")
		if a := w.ask("Remove", "db", ""); !strings.Contains(a.Err, "node a") {
			t.Errorf("in use here: %+v", a)
		}
		w.did()
		w.ok("Unmount", "db", "one")
		w.ok("Remove", "db", "") // it only lingers
		w.did("detach db", "delete db")
		w.ok("Remove", "db", "")
		w.pass(LingerDefault)
		w.did()
	})
}

func TestRemoveWhileAttachedElsewhereIsRefused(t *testing.T) {
	in(t, func(w *world) {
		w.elsewhere("db")
		if a := w.ask("Remove", "db", ""); !strings.Contains(a.Err, "node b") {
			t.Errorf("in use on b: %+v", a)
		}
		w.did()
	})
}

// elsewhere makes a volume that node b uses.
func (w *world) elsewhere(name string) {
	w.t.Helper()
	w.ok("Create", name, "")
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.volumes[name]
	r.Attached = "b"
	w.volumes[name] = r
	w.done = nil
}

func TestCatalogueIsWhatItWas(t *testing.T) {
	const golden = `{
  "format": 1,
  "volumes": [
    {
      "format": 1,
      "volume": "01000000000000000000000000000000",
      "name": "db",
      "size": 10737418240,
      "replicas": 0,
      "fs": "ext4",
      "formatted": false,
      "created": "2026-01-02T03:04:05Z"
    }
  ],
  "users": {
    "db": [
      {
        "mount": "one",
        "container": "web",
        "since": "2000-01-01T00:00:00Z"
      }
    ]
  }
}
`
	in(t, func(w *world) {
		w.runs("web", "db")
		w.ok("List", "", "")
		w.ok("Create", "db", "")
		w.ok("Mount", "db", "one")
		w.pass(askAfter)
		if got, err := os.ReadFile(w.plugin.catalogue.path); err != nil || string(got) != golden {
			t.Errorf("wrote %s, %v\nwant %s", got, err, golden)
		}
	})
	r, err := decodeCatalogue([]byte(golden))
	if err != nil || len(r.Volumes) != 1 || r.Volumes[0].Name != "db" || r.Volumes[0].Size != volume.SizeDefault || r.Users["db"][0].Container != "web" {
		t.Errorf("read %+v, %v", r, err)
	}
}

func TestCatalogueIsWrittenOnlyWhenItDiffers(t *testing.T) {
	in(t, func(w *world) {
		written := func() bool {
			defer func() { _ = os.Remove(w.plugin.catalogue.path) }() // to see it written again
			_, err := os.Stat(w.plugin.catalogue.path)
			return err == nil
		}
		w.ok("List", "", "")
		if !written() {
			t.Error("that there is nothing was not written")
		}
		w.ok("Create", "db", "")
		if !written() {
			t.Error("a new volume was not written")
		}
		w.ok("List", "", "")
		w.ok("Get", "db", "")
		if written() {
			t.Error("what was written before was written again")
		}
		is := func(change func(r *volume.Report)) {
			w.change(func(c *cluster) {
				r := c.volumes["db"]
				change(&r)
				c.volumes["db"] = r
			})
		}
		is(func(r *volume.Report) { r.Health, r.Epoch = volume.Degraded, 7 })
		w.ok("List", "", "")
		if written() {
			t.Error("how volumes are doing is no part of the file")
		}
		is(func(r *volume.Report) { r.Spec.Formatted = true })
		w.ok("Get", "db", "")
		if !written() {
			t.Error("another specification was not written")
		}
		w.ok("Remove", "db", "")
		if !written() {
			t.Error("a deletion was not written")
		}
	})
}

func FuzzCatalogue(f *testing.F) {
	f.Add([]byte(`{"format":1,"volumes":[{"name":"db"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeCatalogue(data)
		for i := range r.Volumes {
			if err := volume.CheckName(r.Volumes[i].Name); err != nil {
				t.Error(err)
			}
		}
		if err != nil && (r.Volumes != nil || r.Users != nil) {
			t.Error("volumes of a catalogue that was refused")
		}
	})
}
