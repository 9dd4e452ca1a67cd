package volume

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

// listSeparator stands between the entries of a list within an option: a comma
// already stands between options.
const listSeparator = "+"

// option is a key that a user may set, and how.
type option struct {
	key   string
	read  func(s *Spec, value string) error
	write func(s *Spec) string // "" when it is not set
}

// options is the one table of what a specification can say, in the order in
// which it is printed. The keys are those of the commands and of the API.
func options() []option {
	return []option{
		{"name", readName, func(s *Spec) string { return s.Name }},
		{"size", readSize, writeSize},
		{"replicas", readReplicas, writeReplicas},
		{"min_writable", readMinWritable, writeMinWritable},
		{"fs", readFilesystem, func(s *Spec) string { return s.Filesystem }},
		{"nodes", readNodes, func(s *Spec) string { return strings.Join(s.Nodes, listSeparator) }},
		{"zones", readZones, func(s *Spec) string { return strings.Join(s.Zones, listSeparator) }},
		{"labels", readLabels, writeLabels},
		{"mount_options", readMountOptions, func(s *Spec) string { return strings.ReplaceAll(s.MountOptions, ",", listSeparator) }},
		{"preempt", readPreempt, writePreempt},
		{"parent", readParent, func(s *Spec) string { return s.Parent }},
		{"snapshot_schedule", readSchedule, func(s *Spec) string { return s.Schedule }},
	}
}

// aliases are keys known under another name.
func aliases() map[string]string { return map[string]string{"repl": "replicas"} }

// reserved are the keys of what is planned: refused as such, never ignored.
func reserved() []string {
	return []string{"gid", "mode", "recovery", "uid"}
}

// ParseSpec reads options as written in one line, size=10GiB,replicas=2,name=db.
// Entries of a list are separated by '+': zones=a+b. Nothing is guessed: what is
// not understood whole is refused. What is not set stays unset; no default is
// put in its place.
func ParseSpec(text string) (Spec, error) {
	given, err := separate(text)
	if err != nil {
		return Spec{}, err
	}
	return ParseOptions(given)
}

// separate takes the options of one line apart.
func separate(text string) (map[string]string, error) {
	given := map[string]string{}
	for _, part := range strings.Split(text, ",") {
		key, value, found := strings.Cut(part, "=")
		if !found {
			return nil, &Error{
				Kind: ErrInvalidOption,
				What: fmt.Sprintf("%q is no option: it has no '='", part),
				Fix:  "write options as in size=10GiB,replicas=2,name=db, and lists with '+'",
			}
		}
		if _, twice := given[key]; twice {
			return nil, givenTwice(key)
		}
		given[key] = value
	}
	return given, nil
}

// ParseInline reads what was given as a volume's name: a plain name, or the
// options of a volume with its name among them.
func ParseInline(text string) (Spec, error) {
	if strings.Contains(text, "=") {
		return ParseSpec(text)
	}
	return Spec{Name: text}, CheckName(text)
}

// ParseNamed reads a volume of which a part was given as its name, as ParseInline
// reads it, and the other as options that are already apart. Together they give
// each option once, and the name.
func ParseNamed(text string, more map[string]string) (Spec, error) {
	if !strings.Contains(text, "=") {
		if err := CheckName(text); err != nil {
			return Spec{}, err
		}
		text = "name=" + text
	}
	given, err := separate(text)
	if err != nil {
		return Spec{}, err
	}
	for _, key := range slices.Sorted(maps.Keys(more)) {
		if _, twice := given[key]; twice {
			return Spec{}, givenTwice(key)
		}
		given[key] = more[key]
	}
	s, err := ParseOptions(given)
	if err != nil {
		return Spec{}, err
	}
	return s, CheckName(s.Name)
}

// ParseOptions is ParseSpec for options that are already apart. In a list a
// comma does what '+' does.
func ParseOptions(given map[string]string) (Spec, error) {
	var s Spec
	known := options()
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		key := cmp.Or(aliases()[name], name)
		i := slices.IndexFunc(known, func(o option) bool { return o.key == key })
		if i < 0 {
			return Spec{}, unknownOption(name)
		}
		if seen[key] {
			return Spec{}, givenTwice(key)
		}
		seen[key] = true
		if given[name] == "" {
			return Spec{}, invalidOption(key, "", "a value")
		}
		if err := known[i].read(&s, given[name]); err != nil {
			return Spec{}, err
		}
	}
	return s, s.checkOptions(block.Size)
}

// String writes the options of s that are set, as ParseSpec reads them.
func (s *Spec) String() string {
	var parts []string
	for _, o := range options() {
		if value := o.write(s); value != "" {
			parts = append(parts, o.key+"="+value)
		}
	}
	return strings.Join(parts, ",")
}

func readName(s *Spec, value string) error {
	s.Name = value
	return CheckName(value)
}

func readSize(s *Spec, value string) (err error) {
	if s.Size, err = ParseSize(value); err == nil && s.Size == 0 {
		err = &Error{Kind: ErrInvalidSize, What: "a volume cannot have 0 bytes", Fix: "choose another size, as in 10GiB"}
	}
	return err
}

func writeSize(s *Spec) string {
	if s.Size == 0 {
		return ""
	}
	return FormatSize(s.Size)
}

func readReplicas(s *Spec, value string) error {
	n, err := strconv.ParseUint(value, 10, 8)
	if err != nil || n == 0 {
		return invalidReplicas(value)
	}
	s.Replicas = int(n)
	return nil
}

func writeReplicas(s *Spec) string {
	if s.Replicas == 0 {
		return ""
	}
	return strconv.Itoa(s.Replicas)
}

func readMinWritable(s *Spec, value string) error {
	n, err := strconv.ParseUint(value, 10, 8)
	if err != nil || n == 0 {
		return invalidMinWritable(value)
	}
	s.MinWritable = int(n)
	return nil
}

func writeMinWritable(s *Spec) string {
	if s.MinWritable == 0 {
		return ""
	}
	return strconv.Itoa(s.MinWritable)
}

func readFilesystem(s *Spec, value string) error {
	s.Filesystem = value
	return nil
}

func readNodes(s *Spec, value string) error {
	s.Nodes = readList(value)
	return nil
}

func readZones(s *Spec, value string) error {
	s.Zones = readList(value)
	return nil
}

func readList(value string) []string {
	return strings.Split(strings.ReplaceAll(value, ",", listSeparator), listSeparator)
}

func readLabels(s *Spec, value string) error {
	s.Labels = map[string]string{}
	for _, entry := range readList(value) {
		key, word, found := strings.Cut(entry, "=")
		if _, twice := s.Labels[key]; !found || twice {
			return invalidOption("labels", value, "a list of different labels as in disk=ssd+rack=7")
		}
		s.Labels[key] = word
	}
	return nil
}

func writeLabels(s *Spec) string {
	var entries []string
	for _, key := range slices.Sorted(maps.Keys(s.Labels)) {
		entries = append(entries, key+"="+s.Labels[key])
	}
	return strings.Join(entries, listSeparator)
}

func readMountOptions(s *Spec, value string) error {
	s.MountOptions = strings.ReplaceAll(value, listSeparator, ",")
	return nil
}

func readPreempt(s *Spec, value string) error {
	if value != "true" && value != "false" {
		return invalidOption("preempt", value, "true or false")
	}
	s.Preempt = value == "true"
	return nil
}

func writePreempt(s *Spec) string {
	if !s.Preempt {
		return "" // as if it were not set
	}
	return "true"
}

func readParent(s *Spec, value string) error {
	s.Parent = value
	return nil
}

func readSchedule(s *Spec, value string) error {
	if s.Schedule = value; value == NoSchedule {
		return nil
	}
	schedule, err := ParseSchedule(value)
	s.Schedule = schedule.String()
	return err
}

func givenTwice(key string) error {
	return &Error{
		Kind: ErrInvalidOption,
		What: fmt.Sprintf("option %s is given twice", key),
		Fix:  "give it once",
	}
}

func unknownOption(key string) error {
	if slices.Contains(reserved(), key) {
		return &Error{
			Kind: ErrUnsupportedOption,
			What: fmt.Sprintf("option %s: this version cannot do that yet", key),
			Fix:  "leave it out",
		}
	}
	e := &Error{Kind: ErrUnknownOption, What: fmt.Sprintf("there is no option %q", key)}
	var keys []string
	for _, o := range options() {
		keys = append(keys, o.key)
	}
	e.Fix = "the options are " + strings.Join(keys, ", ")
	if nearest := Nearest(key, keys); nearest != "" {
		e.Fix = fmt.Sprintf("did you mean %s?", nearest)
	}
	return e
}
