// Package util has no subject.
package util // want "util has no row in the layout table" "named after its subject"
