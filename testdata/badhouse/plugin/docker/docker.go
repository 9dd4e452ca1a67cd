// Package docker is at home.
package docker

import (
	_ "github.com/anishathalye/porcupine" // want "only linearizability may import"
	_ "github.com/docker/go-plugins-helpers/volume"

	_ "example.com/badhouse/plugin/device" // want "plugin/docker may not import plugin/device"
)
