package docker

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// calls are those that name a volume.
func calls() []string { return []string{"Create", "Remove", "Mount", "Unmount", "Get", "Path"} }

// hostileBodies ask for nothing that can be.
func hostileBodies() []string {
	long := strings.Repeat("x", 300)
	bodies := []string{
		"", " ", "null", "[]", `"db"`, "5", `{"Name":5,"ID":"one"}`, `{"Name":["db"],"ID":"one"}`, `{"Name":null,"ID":"one"}`,
		`{"Name":"db","ID":"one"`, `{"Name":"db`, "\x00", "\ufeff{}", `{"Name":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
		`{"ID":"one"}`, `{"Name":"","ID":"one"}`, `{"Name":"` + strings.Repeat("x", 2<<20) + `","ID":"one"}`,
		`{"Name":"new","ID":"one","Opts":["size=1G"],"Options":5}`,
	}
	for _, name := range []string{
		long, "a/b", "../../db", `a\\b`, `a\u0000b`, `a\nb`, "-db", " ", "ä", "size=1G", "name=", "name=a/b", "name=db,name=db", "name=db,size=-1",
		"name=db,size=99999999999999999999", "name=db,replicas=-1", "name=db,sise=1G", "name=" + long,
	} {
		bodies = append(bodies, `{"Name":"`+name+`","ID":"one"}`)
	}
	return bodies
}

func TestHostileCallsAreRefusedAndChangeNothing(t *testing.T) {
	in(t, func(w *world) {
		w.ok("Create", "db", "")
		w.did("create name=db")
		for _, body := range hostileBodies() {
			for _, what := range calls() {
				if strings.Contains(body, "Opts") && what != "Create" {
					continue // the others have no options
				}
				a := w.call(what, body)
				if !a.hungUp && a.Err == "" || len(a.Err) > 4<<10 {
					t.Errorf("%s %.80q: %.200v", what, body, a)
				}
			}
		}
		for _, options := range []string{`{"size":"-1"}`, `{"size":""}`, `{"sise":"1G"}`, `{"replicas":"1e9"}`, `{"name":"other"}`, `{"size":1}`, `{"":""}`} {
			if a := w.call("Create", `{"Name":"new","Opts":`+options+`}`); a.Err == "" {
				t.Errorf("creation with %s: %+v", options, a)
			}
		}
		w.did()
	})
}

// FuzzCalls sends the engine's calls with anything in them: what is refused was
// not done.
func FuzzCalls(f *testing.F) {
	for i, body := range hostileBodies() {
		if len(body) < 1<<10 {
			f.Add(uint8(i), body)
		}
	}
	for i := range calls() {
		f.Add(uint8(i), `{"Name":"size=1G,name=db","ID":"one"}`)
		f.Add(uint8(i), `{"Name":"db","ID":"one","Opts":{"size":"1G"}}`)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		in(t, func(w *world) {
			what := calls()[int(which)%len(calls())]
			a := w.call(what, body)
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			if (a.Err != "" || a.hungUp) && len(w.done) > 0 {
				t.Errorf("%s %q was refused (%s), and did %v", what, body, a.Err, slices.Clone(w.done))
			}
		})
	})
}
