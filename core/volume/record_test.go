package volume_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

func TestCatalogueExplainsEveryKindOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range volume.Catalogue() {
		code := x.Kind.Error()
		if seen[code] || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz-") != "" || x.Meaning == "" || x.Remedy == "" {
			t.Errorf("%+v", x)
		}
		seen[code] = true
		if got := volume.CodeOf(&volume.Error{Kind: x.Kind}); got != code {
			t.Errorf("code %q, want %q", got, code)
		}
	}
	if got := volume.CodeOf(errors.New("else")); got != "" {
		t.Errorf("an error of another kind has the code %q", got)
	}
}

func TestErrorSaysWhatWhyAndWhatToDo(t *testing.T) {
	err := error(&volume.Error{Kind: volume.ErrAttached, What: "no", Causes: []string{"because"}, Fix: "do"})
	if err.Error() != "no [attached]\n  because\ndo" || !errors.Is(err, volume.ErrAttached) || errors.Is(err, volume.ErrBusy) {
		t.Errorf("%v", err)
	}
}

func TestErrorIsToldWithWhatStandsAroundIt(t *testing.T) {
	made := &volume.Error{Kind: volume.ErrAttached, What: "no", Causes: []string{"because"}, Fix: "do"}
	other := errors.New("and another thing")
	remedy := func(kind error) string {
		for _, x := range volume.Catalogue() {
			if errors.Is(kind, x.Kind) {
				return x.Remedy
			}
		}
		return ""
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{made, "no [attached]\n  because\ndo"},
		{fmt.Errorf("remove db: %w", made), "remove db: no [attached]\n  because\ndo"},
		{errors.Join(made, other), "no [attached]\n  because\n  and another thing\ndo"},
		{errors.Join(other, fmt.Errorf("remove db: %w", made)), "remove db: no [attached]\n  because\n  and another thing\ndo"},
		{errors.Join(&volume.Error{Kind: volume.ErrInUse, What: "no", Fix: "do"}, made), "no [in-use]\n  no [attached]\n  because\n  do\ndo"},
		{&volume.Error{Kind: volume.ErrAttached, What: "no"}, "no [attached]\n" + remedy(volume.ErrAttached)},
		{fmt.Errorf("remove db: %w", volume.ErrAttached), "remove db: attached [attached]\n" + remedy(volume.ErrAttached)},
		{other, "and another thing [internal]\n" + remedy(volume.ErrInternal)},
		{&volume.Error{What: "no", Fix: "do"}, "no\ndo [internal]\n" + remedy(volume.ErrInternal)},
	} {
		told := volume.Told(c.err)
		if told.Error() != c.want {
			t.Errorf("%q is told as %q, want %q", c.err, told, c.want)
		}
		if again := volume.Told(told); again.Error() != told.Error() {
			t.Errorf("%q is told again as %q", told, again)
		}
	}
	if len(made.Causes) != 1 {
		t.Errorf("the error itself was changed: %v", made)
	}
	if long := volume.Told(errors.New(strings.Repeat("ä", 1<<20))); len(long.What) > 3000 || !utf8.ValidString(long.What) {
		t.Errorf("a mebibyte is told as %d bytes", len(long.What))
	}
}

func TestRecordsSurviveARoundTrip(t *testing.T) {
	spec := volume.Spec{Format: 1, Volume: block.VolumeID{1}, Name: "db", Size: 5, Labels: map[string]string{"b": "1", "a": "2"}}
	if got, err := volume.Parse[volume.Spec](volume.Encode(spec)); err != nil || !reflect.DeepEqual(got, spec) {
		t.Errorf("%+v, %v", got, err)
	}
	disk := volume.Disk{Format: 1, ID: block.DiskID{1}, Node: block.NodeID{2}, Capacity: 3, Free: 4, Promised: 5, Unusable: "x"}
	if got, err := volume.Parse[volume.Disk](volume.Encode(disk)); err != nil || got != disk {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNewerRecordIsRefusedByItsFormat(t *testing.T) {
	_, err := volume.Parse[volume.Node]([]byte(`{"format":2,"id":7}`))
	if !errors.Is(err, volume.ErrNewerFormat) || !strings.Contains(err.Error(), "format 2, this version reads up to 1") {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "5", `{"format":1,"id":7}`, `{"format":"1"}`} {
		if _, err := volume.Parse[volume.Node]([]byte(text)); err == nil || errors.Is(err, volume.ErrNewerFormat) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSpecificationDiffersOnlyInWhatIsAskedFor(t *testing.T) {
	held := volume.Spec{Name: "db", Size: 1 << 30, Replicas: 2, Filesystem: "ext4", Zones: []string{"a"}}
	for text, want := range map[string]string{
		"name=db": "", "size=1G,replicas=2,fs=ext4,zones=a": "", "size=2G": "size", "replicas=1": "replicas", "fs=none": "fs",
		"zones=b": "zones", "nodes=n": "nodes", "labels=a=b": "labels", "mount_options=x": "mount_options", "preempt=true": "preempt",
	} {
		asked, err := volume.ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := held.Difference(&asked); got != want {
			t.Errorf("%s: differs in %q, want %q", text, got, want)
		}
	}
}

func TestSizeIsAMultipleOfTheChunk(t *testing.T) {
	s := volume.Spec{Name: "db", Size: 16 * 64}
	if err := s.Check(64); err != nil {
		t.Error(err)
	}
	if err := s.Check(4096); !errors.Is(err, volume.ErrInvalidSize) {
		t.Error("a size of less than a chunk is taken")
	}
}

// Golden bytes: records written by this version are read by all later ones.
func TestRecordsAreWrittenAsDocumented(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{string(volume.Encode(volume.Attachment{Format: 1, Node: block.NodeID{0xab}, Number: 7})), `{"format":1,"node":"ab000000000000000000000000000000","number":7}`},
		{
			string(volume.Encode(volume.Attachment{
				Format: 1, Node: block.NodeID{0xab}, Number: 7, Wanted: &block.NodeID{0xcd}, Lingering: true,
				Users: []volume.User{{Mount: "m1", Container: "web", Since: "2026-01-02T03:04:05Z"}, {Mount: "/mnt", Since: "2026-01-02T03:04:05Z"}},
			})),
			`{"format":1,"node":"ab000000000000000000000000000000","number":7,"users":[{"mount":"m1","container":"web","since":"2026-01-02T03:04:05Z"},` +
				`{"mount":"/mnt","since":"2026-01-02T03:04:05Z"}],"lingering":true,"wanted":"cd000000000000000000000000000000"}`,
		},
		{
			string(volume.Encode(volume.Spec{Format: 1, Volume: block.VolumeID{1}, Name: "db", Size: 65536, Replicas: 2, Filesystem: "ext4", Created: "2026-01-02T03:04:05Z"})),
			`{"format":1,"volume":"01000000000000000000000000000000","name":"db","size":65536,"replicas":2,"fs":"ext4","formatted":false,"created":"2026-01-02T03:04:05Z"}`,
		},
		{
			string(volume.Encode(volume.Removed{Format: 1, Node: block.NodeID{1}, Name: "a", Disks: []block.DiskID{{2}}})),
			`{"format":1,"node":"01000000000000000000000000000000","name":"a","disks":["02000000000000000000000000000000"]}`,
		},
		{
			string(volume.Encode(volume.Disk{Format: 1, ID: block.DiskID{1}, Node: block.NodeID{2}, Capacity: 3, Free: 4, Promised: 5})),
			`{"format":1,"id":"01000000000000000000000000000000","node":"02000000000000000000000000000000","capacity":3,"free":4,"promised":5}`,
		},
		{
			string(volume.Encode(volume.Node{Format: 1, ID: block.NodeID{1}, Name: "a", Address: "x:1", API: "x:2", Zone: "z", BootID: block.BootID{3}, Version: "v"})),
			`{"format":1,"id":"01000000000000000000000000000000","name":"a","address":"x:1","api":"x:2","zone":"z","boot":"03000000000000000000000000000000","version":"v"}`,
		},
	} {
		if test.got != test.want {
			t.Errorf("wrote %s\nwant  %s", test.got, test.want)
		}
	}
}
