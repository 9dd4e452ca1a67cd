package sim

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
)

// Script is a run as a file: its plan with every fault and operation written
// out, and what it is about. docs/simulation.md has the grammar.
type Script struct {
	About []string // comment lines, without the leading #
	Fails string   // the invariant that it broke
	Bug   string   // build tag of the planted bug that it needs to fail; "": none
	Plan  *Plan
}

// Write writes the script. Reading it gives the same plan.
func (s *Script) Write(w io.Writer) error {
	var out bytes.Buffer
	line := func(format string, values ...any) { fmt.Fprintf(&out, format+"\n", values...) }
	for _, text := range s.About {
		line("%s", strings.TrimRight("# "+text, " "))
	}
	if s.Fails != "" {
		line("fails %s", s.Fails)
	}
	if s.Bug != "" {
		line("bug %s", s.Bug)
	}
	for _, f := range fieldsOf(reflect.ValueOf(s.Plan).Elem(), "") {
		if !f.value.IsZero() {
			line("%s %s", f.name, f.text())
		}
	}
	for i := range s.Plan.Volumes {
		line("volume %s", pairs(reflect.ValueOf(&s.Plan.Volumes[i]).Elem()))
	}
	for i := range s.Plan.Clients {
		line("client %s", pairs(reflect.ValueOf(&s.Plan.Clients[i]).Elem()))
	}
	for _, text := range s.schedule() {
		line("%s", text)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// schedule returns the lines of faults and operations in order of time.
func (s *Script) schedule() (lines []string) {
	type entry struct {
		at   time.Duration
		text string
	}
	var all []entry
	for i := range s.Plan.Faults {
		all = append(all, entry{s.Plan.Faults[i].At, faultLine(&s.Plan.Faults[i])})
	}
	for i := range s.Plan.Clients {
		for j := range s.Plan.Clients[i].Script {
			o := &s.Plan.Clients[i].Script[j]
			all = append(all, entry{o.At, operationLine(i, o)})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	for _, e := range all {
		lines = append(lines, e.text)
	}
	return lines
}

func faultLine(f *Fault) string {
	text := fmt.Sprintf("at %v %s n%d", f.At, faultWord(f.Kind), f.Node)
	if f.Peer != 0 {
		text += fmt.Sprintf(" peer=n%d", f.Peer)
	}
	if f.For != 0 {
		text += fmt.Sprintf(" for=%v", f.For)
	}
	if f.Pick != 0 {
		text += fmt.Sprintf(" pick=%#x", f.Pick)
	}
	return text
}

// faultWord is a fault's name as one word.
func faultWord(k FaultKind) string { return strings.ReplaceAll(k.String(), " ", "-") }

func operationLine(client int, o *Operation) string {
	text := fmt.Sprintf("at %v c%d %s", o.At, client, o.Kind)
	if !o.Range.Empty() {
		text += fmt.Sprintf(" %d+%d", o.Range.First, o.Range.Count)
	}
	if o.FUA {
		text += " fua"
	}
	if o.Moves {
		text += " moves"
	}
	return text
}

// field is one setting of a plan.
type field struct {
	name  string
	value reflect.Value
}

// fieldsOf returns the settings of a struct: numbers, words, durations, switches,
// lists of numbers. What else a plan has stands in lines of its own.
func fieldsOf(v reflect.Value, prefix string) (list []field) {
	for i := range v.NumField() {
		f := v.Field(i)
		name := prefix + strings.ToLower(v.Type().Field(i).Name)
		switch f.Kind() {
		case reflect.Struct:
			list = append(list, fieldsOf(f, name+".")...)
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.Int {
				list = append(list, field{name, f})
			}
		case reflect.Array:
			for j := range f.Len() {
				list = append(list, field{name + "." + strconv.Itoa(j), f.Index(j)})
			}
		default:
			list = append(list, field{name, f})
		}
	}
	return list
}

func pairs(v reflect.Value) string {
	var words []string
	for _, f := range fieldsOf(v, "") {
		if !f.value.IsZero() || f.name == "volume" {
			words = append(words, f.name+"="+f.text())
		}
	}
	return strings.Join(words, " ")
}

// text returns a setting's value as a script has it.
func (f *field) text() string {
	if f.value.Kind() == reflect.Slice {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(f.value.Interface()), " ", ","), "[]")
	}
	if f.name == "seed" {
		return fmt.Sprintf("%#x", f.value.Interface())
	}
	return fmt.Sprint(f.value.Interface())
}

// set gives a setting the value that a script has for it.
func (f *field) set(text string) error {
	v := f.value
	if d, is := v.Addr().Interface().(*time.Duration); is {
		var err error
		*d, err = time.ParseDuration(text)
		return err
	}
	switch {
	case v.Kind() == reflect.Slice:
		for word := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(word)
			if err != nil {
				return err
			}
			v.Set(reflect.Append(v, reflect.ValueOf(n)))
		}
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return err
	case v.CanInt():
		n, err := strconv.ParseInt(text, 0, v.Type().Bits())
		v.SetInt(n)
		return err
	default:
		n, err := strconv.ParseUint(text, 0, v.Type().Bits())
		v.SetUint(n)
		return err
	}
	return nil
}

// ReadScript reads what Write wrote, or what somebody wrote by hand.
func ReadScript(r io.Reader) (*Script, error) {
	s := &Script{Plan: &Plan{}}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if err := s.read(lines.Text()); err != nil {
			return nil, fmt.Errorf("line %d (%s): %w", n, lines.Text(), err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read a script: %w", err)
	}
	if err := s.Plan.check(); err != nil {
		return nil, fmt.Errorf("the script as a whole: %w", err)
	}
	return s, nil
}

// read takes one line.
func (s *Script) read(line string) error {
	if about, comment := strings.CutPrefix(line, "#"); comment {
		s.About = append(s.About, strings.TrimSpace(about))
		return nil
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	switch rest := words[1:]; words[0] {
	case "fails":
		s.Fails = strings.Join(rest, " ")
	case "bug":
		s.Bug = strings.Join(rest, " ")
	case "volume":
		s.Plan.Volumes = append(s.Plan.Volumes, VolumePlan{})
		return setPairs(reflect.ValueOf(&s.Plan.Volumes[len(s.Plan.Volumes)-1]).Elem(), rest)
	case "client":
		s.Plan.Clients = append(s.Plan.Clients, ClientPlan{})
		return setPairs(reflect.ValueOf(&s.Plan.Clients[len(s.Plan.Clients)-1]).Elem(), rest)
	case "at":
		return s.readAt(rest)
	default:
		return setField(reflect.ValueOf(s.Plan).Elem(), words[0], strings.Join(rest, " "))
	}
	return nil
}

func setPairs(v reflect.Value, words []string) error {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		if err := setField(v, name, value); err != nil {
			return err
		}
	}
	return nil
}

func setField(v reflect.Value, name, value string) error {
	for _, f := range fieldsOf(v, "") {
		if f.name == name {
			return f.set(value)
		}
	}
	return fmt.Errorf("there is no setting %q: its names are those of the fields of a plan, in lower case", name)
}

// readAt takes a fault or an operation.
func (s *Script) readAt(words []string) error {
	if len(words) < 3 {
		return fmt.Errorf("want: at TIME FAULT NODE, or at TIME CLIENT OPERATION")
	}
	at, err := time.ParseDuration(words[0])
	if err != nil {
		return err
	}
	if client, err := number("c", words[1]); err == nil {
		return s.readOperation(at, client, words[2:])
	}
	return s.readFault(at, words[1:])
}

func (s *Script) readFault(at time.Duration, words []string) (err error) {
	f := Fault{At: at}
	for k := FaultNone + 1; k < FaultCount; k++ {
		if faultWord(k) == words[0] {
			f.Kind = k
		}
	}
	if f.Kind == FaultNone {
		return fmt.Errorf("%q is no fault", words[0])
	}
	if f.Node, err = number("n", words[1]); err != nil {
		return err
	}
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "peer":
			f.Peer, err = number("n", value)
		case "for":
			f.For, err = time.ParseDuration(value)
		case "pick":
			f.Pick, err = strconv.ParseUint(value, 0, 64)
		default:
			err = fmt.Errorf("a fault has peer=, for= and pick=, and no %q", name)
		}
		if err != nil {
			return err
		}
	}
	s.Plan.Faults = append(s.Plan.Faults, f)
	return nil
}

func (s *Script) readOperation(at time.Duration, client int, words []string) error {
	if client >= len(s.Plan.Clients) {
		return fmt.Errorf("there is no client c%d before this line", client)
	}
	o := Operation{At: at}
	names := operationNames()
	i := slices.Index(names, words[0])
	if i < 0 {
		return fmt.Errorf("%q is no operation: it is one of %s", words[0], strings.Join(names, ", "))
	}
	o.Kind = OperationKind(i)
	for _, word := range words[1:] {
		first, count, isRange := strings.Cut(word, "+")
		switch {
		case word == "fua":
			o.FUA = true
		case word == "moves":
			o.Moves = true
		case isRange:
			from, err := strconv.ParseUint(first, 10, 31)
			if err != nil {
				return err
			}
			many, err := strconv.ParseUint(count, 10, 31)
			if err != nil {
				return err
			}
			o.Range = block.Range{First: block.Block(from), Count: uint32(many)}
		default:
			return fmt.Errorf("an operation has FIRST+COUNT, fua and moves, and no %q", word)
		}
	}
	c := &s.Plan.Clients[client]
	c.Script = append(c.Script, o)
	return nil
}

// number reads a thing's letter and number: n3, c0.
func number(letter, word string) (int, error) {
	digits, ours := strings.CutPrefix(word, letter)
	n, err := strconv.ParseUint(digits, 10, 16)
	if !ours || err != nil {
		return 0, fmt.Errorf("want %s and a number, not %q", letter, word)
	}
	return int(n), nil
}

// check reports what of a plan cannot be run.
func (p *Plan) check() error {
	node := func(n int) bool { return n >= 0 && n < p.Nodes }
	if p.Nodes < 1 || len(p.ClockPPM) > p.Nodes || len(p.Volumes) == 0 || p.BlockSize < 64 || p.Nodes > math.MaxUint8 {
		return fmt.Errorf("it needs nodes, a volume and a block size of 64 or more")
	}
	if p.Safety <= 0 || p.Liveness <= 0 || p.Keepalive <= 0 || p.DiskSize <= 0 || p.JournalBytes <= 0 || p.Profile == "" {
		return fmt.Errorf("it needs profile, safety, liveness, keepalive, disksize and journalbytes: begin with one that is there")
	}
	for i := range p.Volumes {
		v := &p.Volumes[i]
		if v.Blocks < 1 || len(v.Members) == 0 || !node(slices.Min(v.Members)) || !node(slices.Max(v.Members)) {
			return fmt.Errorf("volume v%d needs blocks, and members among the nodes", i)
		}
	}
	for i := range p.Clients {
		c := &p.Clients[i]
		if c.Volume < 0 || c.Volume >= len(p.Volumes) {
			return fmt.Errorf("client c%d uses volume v%d, which does not exist", i, c.Volume)
		}
		for j := range c.Script {
			if o := &c.Script[j]; int(o.Range.End()) > p.Volumes[c.Volume].Blocks || o.Range.Empty() == operations[o.Kind].blocks {
				return fmt.Errorf("client c%d, %v: the volume has no such blocks", i, o)
			}
		}
		slices.SortStableFunc(c.Script, func(a, b Operation) int { return cmp.Compare(a.At, b.At) })
	}
	for i := range p.Faults {
		if f := &p.Faults[i]; !node(f.Node) || !node(f.Peer) {
			return fmt.Errorf("%v: the node does not exist", f)
		}
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	for len(p.ClockPPM) < p.Nodes {
		p.ClockPPM = append(p.ClockPPM, 0)
	}
	return nil
}
