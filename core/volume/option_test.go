package volume_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestSpecificationIsReadStrictly(t *testing.T) {
	for _, test := range []struct {
		text string
		want volume.Spec
		kind error
		says string
	}{
		{text: "size=10GiB,replicas=2,fs=ext4,name=db", want: volume.Spec{Name: "db", Size: 10 << 30, Replicas: 2, Filesystem: "ext4"}},
		{text: "size=10G,repl=2,name=db", want: volume.Spec{Name: "db", Size: 10 << 30, Replicas: 2}},
		{text: "name=my.db", want: volume.Spec{Name: "my.db"}},
		{text: "size=1048576", want: volume.Spec{Size: 1 << 20}},
		{text: "fs=none,size=64KiB", want: volume.Spec{Filesystem: "none", Size: 64 << 10}},
		{text: "nodes=a+b,zones=x+y/1", want: volume.Spec{Nodes: []string{"a", "b"}, Zones: []string{"x", "y/1"}}},
		{text: "labels=disk=ssd+rack=7", want: volume.Spec{Labels: map[string]string{"disk": "ssd", "rack": "7"}}},
		{text: "mount_options=noatime+commit=60", want: volume.Spec{MountOptions: "noatime,commit=60"}},
		{text: "preempt=true", want: volume.Spec{Preempt: true}},
		{text: "preempt=false", want: volume.Spec{}},

		{text: "preempt=yes", kind: volume.ErrInvalidOption, says: "true or false"},
		{text: "block_size=64,name=db", kind: volume.ErrUnknownOption, says: `there is no option "block_size"`},
		{text: "replica=2", kind: volume.ErrUnknownOption, says: "did you mean replicas?"},
		{text: "Size=1G", kind: volume.ErrUnknownOption, says: "did you mean size?"},
		{text: "filesystem=ext4", kind: volume.ErrUnknownOption, says: "the options are name, size, replicas"},
		{text: " size=1G", kind: volume.ErrUnknownOption, says: "did you mean size?"},
		{text: "recovery=wait", kind: volume.ErrUnsupportedOption, says: "cannot do that yet"},
		{text: "uid=5", kind: volume.ErrUnsupportedOption},
		{text: "parent=db@monday", want: volume.Spec{Parent: "db@monday"}},
		{text: "parent=db", want: volume.Spec{Parent: "db"}},
		{text: "parent=db@", kind: volume.ErrInvalidOption, says: "as in db@monday"},
		{text: "parent=@monday", kind: volume.ErrInvalidOption},
		{text: "parent=db@a@b", kind: volume.ErrInvalidOption},
		{text: "snapshot_schedule=every=60m/24+daily=12:00/7", want: volume.Spec{Schedule: "every=1h/24+daily=12:00/7"}},
		{text: "replicas=3,min_writable=2", want: volume.Spec{Replicas: 3, MinWritable: 2}},
		{text: "snapshot_schedule=none", want: volume.Spec{Schedule: "none"}},

		{text: "size=oops", kind: volume.ErrInvalidSize, says: `"oops"`},
		{text: "size=0", kind: volume.ErrInvalidSize},
		{text: "size=-1G", kind: volume.ErrInvalidSize},
		{text: "size=+1G", kind: volume.ErrInvalidSize},
		{text: "size=1.5G", kind: volume.ErrInvalidSize},
		{text: "size=1GB", kind: volume.ErrInvalidSize},
		{text: "size=1g", kind: volume.ErrInvalidSize},
		{text: "size=1 G", kind: volume.ErrInvalidSize},
		{text: "size=G", kind: volume.ErrInvalidSize},
		{text: "size=100000", kind: volume.ErrInvalidSize, says: "no multiple of 64KiB"},
		{text: "size=9999P", kind: volume.ErrInvalidSize, says: "1PiB"},
		{text: "size=9999999P", kind: volume.ErrInvalidSize, says: "1PiB"},
		{text: "size=200MiB,fs=xfs", kind: volume.ErrInvalidSize, says: "xfs needs at least 300MiB"},
		{text: "replicas=0", kind: volume.ErrInvalidOption, says: "a number from 1 to 5"},
		{text: "replicas=6", kind: volume.ErrInvalidOption},
		{text: "replicas=two", kind: volume.ErrInvalidOption},
		{text: "min_writable=0", kind: volume.ErrInvalidOption, says: "a number from 1 to 5"},
		{text: "replicas=2,min_writable=3", kind: volume.ErrInvalidOption, says: "at most the 2 that replicas asks for"},
		{text: "fs=btrfs", kind: volume.ErrInvalidOption, says: "ext4, xfs or none"},
		{text: "fs=", kind: volume.ErrInvalidOption, says: "option fs"},
		{text: "nodes=a++b", kind: volume.ErrInvalidOption},
		{text: "nodes=a+a", kind: volume.ErrInvalidOption, says: "once"},
		{text: "nodes=" + strings.Repeat("a", 256), kind: volume.ErrInvalidOption},
		{text: "zones=x y", kind: volume.ErrInvalidOption},
		{text: "labels=disk", kind: volume.ErrInvalidOption},
		{text: "labels=disk=", kind: volume.ErrInvalidOption},
		{text: "labels=disk=ssd+disk=hdd", kind: volume.ErrInvalidOption},
		{text: "mount_options=no atime", kind: volume.ErrInvalidOption},
		{text: "mount_options=-o", kind: volume.ErrInvalidOption},
		{text: "size=1G,size=2G", kind: volume.ErrInvalidOption, says: "twice"},
		{text: "replicas=1,repl=2", kind: volume.ErrInvalidOption, says: "twice"},
		{text: "", kind: volume.ErrInvalidOption, says: "no option"},
		{text: "size=1G,", kind: volume.ErrInvalidOption},
		{text: "db", kind: volume.ErrInvalidOption},
		{text: "name=_db", kind: volume.ErrInvalidName},
		{text: "name=../x", kind: volume.ErrInvalidName},
		{text: "name=" + strings.Repeat("a", 129), kind: volume.ErrInvalidName},
		{text: "name=db\n", kind: volume.ErrInvalidName},
	} {
		got, err := volume.ParseSpec(test.text)
		switch {
		case test.kind == nil && (err != nil || !reflect.DeepEqual(got, test.want)):
			t.Errorf("%q: read %+v, %v", test.text, got, err)
		case !errors.Is(err, test.kind):
			t.Errorf("%q: %v, want %v", test.text, err, test.kind)
		case err != nil && !strings.Contains(err.Error(), test.says):
			t.Errorf("%q: %q does not say %q", test.text, err, test.says)
		}
	}
}

func TestInlineNameIsANameOrOptions(t *testing.T) {
	for text, want := range map[string]string{"db": "db", "size=10G,repl=2,name=db": "db", "size=10G": ""} {
		if s, err := volume.ParseInline(text); err != nil || s.Name != want {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", ".db", "a,b", "-x"} {
		if _, err := volume.ParseInline(text); !errors.Is(err, volume.ErrInvalidName) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The engine names volumes itself: 64 hexadecimal digits, or project_name.
func TestNamesAreThoseOfTheContainerEngine(t *testing.T) {
	for _, name := range []string{"db", "DB", "0", "my_project_Db.data-1", strings.Repeat("0123456789abcdef", 4), strings.Repeat("a", 128), "a..", "b--"} {
		if err := volume.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "_a", "-a", "a/b", "a b", "a=b", "a,b", "a+b", "ä", "a\x00", "db\n", strings.Repeat("a", 129)} {
		if err := volume.CheckName(name); !errors.Is(err, volume.ErrInvalidName) || !strings.Contains(err.Error(), "128") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNameAndOptionsTogetherGiveEachOptionOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		more map[string]string
		want string
		kind error
	}{
		{name: "db", want: "name=db"},
		{name: "db", more: map[string]string{"size": "10G", "repl": "2"}, want: "name=db,size=10GiB,replicas=2"},
		{name: "size=10G,name=db", more: map[string]string{"replicas": "2"}, want: "name=db,size=10GiB,replicas=2"},
		{name: "size=10G,repl=2,name=db", want: "name=db,size=10GiB,replicas=2"},
		{name: "name=db", more: map[string]string{"zones": "a,b"}, want: "name=db,zones=a+b"},
		{name: "size=10G", more: map[string]string{"name": "db"}, want: "name=db,size=10GiB"},

		{name: "", kind: volume.ErrInvalidName},
		{name: "", more: map[string]string{"name": "db"}, kind: volume.ErrInvalidName},
		{name: "/db", kind: volume.ErrInvalidName},
		{name: "size=10G", kind: volume.ErrInvalidName},
		{name: "db", more: map[string]string{"name": "other"}, kind: volume.ErrInvalidOption},
		{name: "size=10G,name=db", more: map[string]string{"size": "10G"}, kind: volume.ErrInvalidOption},
		{name: "repl=2,name=db", more: map[string]string{"replicas": "2"}, kind: volume.ErrInvalidOption},
		{name: "db", more: map[string]string{"sise": "10G"}, kind: volume.ErrUnknownOption},
		{name: "block_size=64,name=db", kind: volume.ErrUnknownOption},
		{name: "name=db,", kind: volume.ErrInvalidOption},
	} {
		got, err := volume.ParseNamed(test.name, test.more)
		if !errors.Is(err, test.kind) || test.kind == nil && got.String() != test.want {
			t.Errorf("%q with %v: %s, %v; want %s, %v", test.name, test.more, got.String(), err, test.want, test.kind)
		}
	}
}

func TestOptionsApartMayUseCommas(t *testing.T) {
	s, err := volume.ParseOptions(map[string]string{"zones": "a,b", "mount_options": "noatime,commit=60"})
	if err != nil || len(s.Zones) != 2 || s.MountOptions != "noatime,commit=60" {
		t.Errorf("%+v, %v", s, err)
	}
}

// anySpec returns some specification that can be written down.
func anySpec(r *rand.Rand) volume.Spec {
	word := func() string {
		letters := "abcxyzABC0189._:/-"
		s := string(letters[r.IntN(9)])
		for range r.IntN(6) {
			s += string(letters[r.IntN(len(letters))])
		}
		return s
	}
	list := func() (all []string) {
		for i := range r.IntN(4) {
			all = append(all, word()+strconv.Itoa(i))
		}
		return all
	}
	s := volume.Spec{
		Name: []string{"db", "0", "My.db_1-x", strings.Repeat("0123456789abcdef", 4)}[r.IntN(4)], Size: r.Int64N(1<<34) << 16, Replicas: r.IntN(6),
		Filesystem: []string{"", "ext4", "none", "xfs"}[r.IntN(4)], Nodes: list(), Zones: list(),
		MountOptions: []string{"", "noatime", "noatime,commit=60", "x"}[r.IntN(4)], Preempt: r.IntN(2) == 1,
	}
	if s.Size < 300<<20 {
		s.Size = 0
	}
	for _, key := range list() {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[key] = word()
	}
	return s
}

func TestSpecificationSurvivesARoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := anySpec(r)
		got, err := volume.ParseSpec(want.String())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\nwrote %+v\nread  %+v, %v", want.String(), want, got, err)
		}
		if err := got.Check(4096); err != nil {
			t.Fatalf("%s: %v", want.String(), err)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, seed := range []string{"size=10GiB,replicas=2,fs=ext4,name=db", "labels=a=b+c=d", "zones=x+y", "mount_options=noatime", "size=oops"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := volume.ParseSpec(text)
		if err != nil {
			if volume.CodeOf(err) == "" {
				t.Errorf("%q: an error without a code: %v", text, err)
			}
			return
		}
		again, err := volume.ParseSpec(s.String())
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%q: %+v became %+v, %v", text, s, again, err)
		}
	})
}

func TestSizesAreExact(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "7": 7, "1K": 1024, "10G": 10 << 30, "10GiB": 10 << 30, "3T": 3 << 40, "1P": 1 << 50, "8191P": 8191 << 50, "9223372036854775807": 1<<63 - 1} {
		if got, err := volume.ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "iB", "8192P", "9223372036854775808", "1KK", "1KiBiB", "0x10", "1_000", "１"} {
		if got, err := volume.ParseSize(text); !errors.Is(err, volume.ErrInvalidSize) {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := r.Int64() >> r.IntN(63)
		if got, err := volume.ParseSize(volume.FormatSize(want)); err != nil || got != want {
			t.Fatalf("%d: %s: %d, %v", want, volume.FormatSize(want), got, err)
		}
	}
}

func TestRoundedSizesAreNeverLarger(t *testing.T) {
	for bytes, want := range map[int64]string{
		-1: "0 bytes", 0: "0 bytes", 1023: "1023 bytes", 1024: "1 KiB", 3 << 30: "3 GiB", 3<<30 - 1: "2.9 GiB", 3<<29 + 1: "1.5 GiB", 1<<63 - 1: "8191.9 PiB",
	} {
		if got := volume.RoundSize(bytes); got != want {
			t.Errorf("%d: %q, want %q", bytes, got, want)
		}
	}
}
