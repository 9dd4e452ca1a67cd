package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/cmd/lagan/daemon"
	"github.com/lagan-storage/lagan/core/host/cluster"
	"github.com/lagan-storage/lagan/core/volume"
)

type reader = func(c *Config, text string) error

func text(into func(*Config) *string) reader {
	return func(c *Config, text string) error {
		*into(c) = text
		return nil
	}
}

func toggle(into func(*Config) *bool) reader {
	return func(c *Config, text string) error {
		on, err := strconv.ParseBool(text)
		if err != nil {
			return errWant("true or false")
		}
		*into(c) = on
		return nil
	}
}

// path takes the name of a file or directory, from where the command is given.
func path(into func(*Config) *string) reader {
	return func(c *Config, text string) (err error) {
		if text == "" {
			return errWant("a path")
		}
		*into(c), err = filepath.Abs(text)
		return err
	}
}

// socket takes a path, or none.
func socket(into func(*Config) *string) reader {
	named := path(into)
	return func(c *Config, text string) error {
		if text == daemon.PluginOff {
			*into(c) = text
			return nil
		}
		return named(c, text)
	}
}

// address takes HOST:PORT. That others reach a host is checked with the rest.
func address(into func(*Config) *string) reader {
	return func(c *Config, text string) error {
		_, port, err := net.SplitHostPort(text)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 {
			return errWant("HOST:PORT, as in 10.0.0.1:7300")
		}
		*into(c) = text
		return nil
	}
}

func disk(c *Config, text string) error {
	d, err := daemon.ParseDisk(text)
	if err != nil {
		return err
	}
	if d.Path, err = filepath.Abs(d.Path); err != nil {
		return err
	}
	c.Node.Disks = append(c.Node.Disks, d)
	return nil
}

// label and zone take what a volume could ask for, in the words of volumes.
func label(c *Config, text string) error {
	asked, err := volume.ParseOptions(map[string]string{"labels": text})
	if err != nil {
		return errWant("KEY=VALUE, as in disk=ssd")
	}
	if c.Node.Labels == nil {
		c.Node.Labels = map[string]string{}
	}
	for key, word := range asked.Labels { // any order: into a map
		if _, twice := c.Node.Labels[key]; twice {
			return errWant("each key once")
		}
		c.Node.Labels[key] = word
	}
	return nil
}

func zone(c *Config, text string) error {
	if _, err := volume.ParseOptions(map[string]string{"zones": text}); err != nil || strings.ContainsAny(text, ",+") {
		return errWant("a word, as in rack-7")
	}
	c.Node.Zone = text
	return nil
}

func promiseMax(c *Config, text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < volume.PromiseMaxLeast || n > volume.PromiseMaxMost {
		return errWant(fmt.Sprintf("a number of percent from %d to %d, as in %d", volume.PromiseMaxLeast, volume.PromiseMaxMost, volume.PromiseMaxDefault))
	}
	c.Node.PromiseMax = n
	return nil
}

func duration(into func(*Config) *time.Duration) reader {
	return func(c *Config, text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return errWant("a duration, as in 10s")
		}
		*into(c) = d
		return nil
	}
}

func size(into func(*Config) *int64) reader {
	return func(c *Config, text string) error {
		n, err := volume.ParseSize(text)
		if err != nil || n <= 0 {
			return errWant("a size, as in 32MiB")
		}
		*into(c) = n
		return nil
	}
}

func pluginName(c *Config, text string) error {
	if cluster.CheckName(text) != nil {
		return errWant("letters, digits, '.', '_' and '-', as in lagan")
	}
	c.Node.Plugin.Name = text
	return nil
}

// endpoints takes URLs, several with commas in between.
func endpoints(c *Config, text string) error {
	for one := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(one)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return errWant("a URL, as in https://10.0.0.1:2379")
		}
		c.Node.Etcd.Endpoints = append(c.Node.Etcd.Endpoints, u.Scheme+"://"+u.Host)
	}
	return nil
}
