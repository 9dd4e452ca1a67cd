// Package config says how a node is configured. It owns the one table of
// settings, from which flags, variables of the environment, keys of the file and
// the page docs/configuration.md come, and decides which of them counts:
//
//	flag  ▶  environment  ▶  file  ▶  what the node remembers  ▶  default
//	--zone   LAGAN_ZONE      zone:    node.json
//
// It promises that a value that makes no sense is refused by the name of where
// it was written, and that a key of the file that means nothing is refused too.
// The commands lagan up and lagan join call it.
package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
	"github.com/lagan-storage/lagan/core/host/datadir"
)

// FileDefault is where the settings of a machine are kept.
const FileDefault = "/etc/lagan/lagan.yaml"

// kept says whether a node remembers a setting among those that it was given.
type kept uint8

const (
	never  kept = iota // it says where or who the node is, or is about one start
	given              // if a flag or the environment gave it: a file is a memory of its own
	always             // its default depends on the machine, and must not change with that
)

// Setting is a row of the table.
type Setting struct {
	Name    string // --name, LAGAN_NAME and the key in the file
	Usage   string // for --help and the docs; what is between backquotes stands for the value
	Default string // "": none
	List    bool   // it may be given several times
	Switch  bool   // it is true or false

	kept kept
	read func(c *Config, text string) error // of one value; its error says what is wanted
}

// Variable returns the name of the setting in the environment.
func (s *Setting) Variable() string {
	return "LAGAN_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// remembered is the source of what the node was given at an earlier start.
const remembered = "node.json"

// rank orders the sources of a value.
type rank uint8

const (
	byDefault rank = iota
	byMemory
	byFile
	byEnvironment
	byFlag
)

// value is a setting of one start. It is a pflag.Value.
type value struct {
	setting *Setting
	config  *Config
	texts   []string // as they were written
	from    rank
	where   string // the source as people call it
}

// Config is what a node is started with, and where each part of it comes from.
type Config struct {
	Node    daemon.Config
	Join    string // HOST:PORT of a node of the cluster that a new node joins
	Token   string // to join with
	LogJSON bool
	Debug   bool

	file   string // --config
	values []*value
}

// New returns a configuration that was given nothing.
func New() *Config {
	c := &Config{}
	for i := range table {
		c.values = append(c.values, &value{setting: &table[i], config: c})
	}
	return c
}

// Flags adds a flag for every setting but those that the command does not take.
func (c *Config) Flags(f *pflag.FlagSet, without ...string) {
	f.SortFlags = false
	for _, v := range c.values {
		if slices.Contains(without, v.setting.Name) {
			continue
		}
		flag := f.VarPF(v, v.setting.Name, "", v.setting.Usage)
		flag.DefValue = v.setting.Default
		if v.setting.Switch {
			flag.NoOptDefVal = "true"
		}
	}
}

// Set implements pflag.Value: the command line is read first.
func (v *value) Set(text string) error {
	v.from, v.where = byFlag, "--"+v.setting.Name
	return v.take(text)
}

// String implements pflag.Value.
func (v *value) String() string {
	if v == nil {
		return "" // pflag asks one that was never made
	}
	return strings.Join(v.texts, ",")
}

// Type implements pflag.Value.
func (v *value) Type() string {
	if v.setting.Switch {
		return "bool"
	}
	return "value"
}

// take reads one text.
func (v *value) take(text string) error {
	if !v.setting.List {
		v.texts = nil
	}
	v.texts = append(v.texts, text)
	return v.setting.read(v.config, text)
}

// give sets a value that nothing before it has given.
func (v *value) give(from rank, where string, texts ...string) error {
	if v.from != byDefault {
		return nil
	}
	v.from, v.where = from, where
	for _, text := range texts {
		if err := v.take(text); err != nil {
			return fmt.Errorf("%s is %q: %w", where, text, err)
		}
	}
	return nil
}

func (c *Config) value(name string) *value {
	return c.values[slices.IndexFunc(c.values, func(v *value) bool { return v.setting.Name == name })]
}

// Load takes from the environment and the file what no flag has given.
func (c *Config) Load(getenv func(string) string) error {
	for _, v := range c.values {
		name := v.setting.Variable()
		text := getenv(name)
		if text == "" {
			continue
		}
		texts := []string{text}
		if v.setting.List {
			texts = strings.Split(text, ",")
		}
		if err := v.give(byEnvironment, name, texts...); err != nil {
			return err
		}
	}
	entries, err := readFile(cmp.Or(c.file, FileDefault), c.file != "")
	if err != nil {
		return err
	}
	for _, e := range entries {
		i := slices.IndexFunc(c.values, func(v *value) bool { return v.setting.Name == e.key })
		if i < 0 || e.key == "config" {
			return fmt.Errorf("%s: there is no setting %q: %s", e.where, e.key, nearest(e.key))
		}
		if err := c.values[i].give(byFile, e.where+": "+e.key, e.texts...); err != nil {
			return err
		}
	}
	// The directories are needed before what they remember can be looked at.
	return errors.Join(c.fallBack("data"), c.fallBack("run"))
}

// Recall takes what the node remembers and nothing else has given. Who it is
// cannot be given anew.
func (c *Config) Recall(s datadir.Settings) error {
	for _, fixed := range []struct{ name, was string }{{"name", s.Name}, {"cluster", s.Cluster}} {
		v := c.value(fixed.name)
		if v.from != byDefault && v.String() != fixed.was {
			return fmt.Errorf("%s is %q, but this data directory belongs to %q: leave it out, or give another --data", v.where, v, fixed.was)
		}
		if err := v.give(byMemory, remembered, fixed.was); err != nil {
			return err
		}
	}
	for _, v := range c.values { // in the order of the table; what that lacks is of another version
		texts, found := s.Given[v.setting.Name]
		if !found || v.setting.kept == never {
			continue
		}
		if err := v.give(byMemory, remembered, texts...); err != nil {
			return fmt.Errorf("%s: %w: give it anew with --%s", v.setting.Name, err, v.setting.Name)
		}
	}
	noDisk, disk := c.value("no-disk"), c.value("disk")
	switch {
	case c.Node.NoDisk && disk.from == byMemory && noDisk.from > byMemory:
		return fmt.Errorf("%s is given, but the node has disks: leave it out, or give another --data", noDisk.where)
	case noDisk.from == byMemory && disk.from > byMemory:
		noDisk.from, noDisk.texts, c.Node.NoDisk = byDefault, nil, false // it gets its first disk
	}
	return nil
}

// To has the node join the cluster of the node at address, if it is new.
func (c *Config) To(address string) error { return c.value("join").give(byFlag, "HOST:PORT", address) }

// Joins reports whether this start, and not a file for all, is to join a cluster.
func (c *Config) Joins() bool { return c.value("join").from == byFlag }

// Settle sets what is left to its default, and says what of all is remembered.
func (c *Config) Settle(ctx context.Context) error {
	for _, v := range c.values {
		find, depends := dependent[v.setting.Name]
		if depends && v.from == byDefault {
			if err := v.fallBack(find(ctx)); err != nil {
				return err
			}
		} else if err := v.fallBack(v.setting.Default); err != nil {
			return err
		}
	}
	c.Node.Given = c.remember()
	return nil
}

func (c *Config) fallBack(name string) error {
	v := c.value(name)
	return v.fallBack(v.setting.Default)
}

// fallBack sets a value that nothing has given.
func (v *value) fallBack(text string) error {
	if v.from != byDefault || text == "" {
		return nil
	}
	if err := v.take(text); err != nil {
		return fmt.Errorf("default of --%s, %q: %w: give another", v.setting.Name, text, err)
	}
	return nil
}

// remember returns the texts of what a later start finds again. What a file says
// now is forgotten: the file will say it again, or say no more.
func (c *Config) remember() map[string][]string {
	texts := map[string][]string{}
	for _, v := range c.values {
		byHand := v.from == byFlag || v.from == byEnvironment || v.from == byMemory
		if v.setting.kept == always || v.setting.kept == given && byHand {
			texts[v.setting.Name] = slices.Clone(v.texts)
		}
	}
	return texts
}

// Given returns where a setting was written, "" if it was not.
func (c *Config) Given(name string) string { return c.value(name).where }

// Socket returns where the API of this machine's node is, as far as the
// environment and the file say: a mistake in the file is for lagan up to tell.
func Socket(getenv func(string) string) string {
	c := New()
	_ = errors.Join(c.Load(getenv), c.fallBack("run")) // as much as can be read
	return c.Node.Socket()
}

// Tell logs where each setting comes from that is not the default.
func (c *Config) Tell(log *slog.Logger) {
	for _, v := range c.values {
		if v.from != byDefault && v.setting.Name != "token" {
			log.Debug("setting", slog.String("name", v.setting.Name), slog.String("value", v.String()), slog.String("from", v.where))
		}
	}
}

// Logger returns the log that was asked for.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if c.Debug {
		options.Level = slog.LevelDebug
	}
	if c.LogJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// errWant says what a value should be.
func errWant(what string) error { return errors.New("want " + what) }
