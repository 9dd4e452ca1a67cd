package holder

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
)

const (
	protocol = 1
	// messageBytesMax bounds a message: a record names mounts and who uses them.
	messageBytesMax = 128 << 10
	// descriptorsMax is how many a device has: its connection and its loop device.
	descriptorsMax = 4
)

// The verbs of a daemon, and how each is answered.
const (
	verbTake   = "take"   // one message for each device, then an empty one
	verbKeep   = "keep"   // an empty message
	verbForget = "forget" // an empty message
)

// message is what the two say to each other.
type message struct {
	Protocol int            `json:"protocol"`
	Verb     string         `json:"verb,omitempty"`
	Volume   block.VolumeID `json:"volume"`
	Record   []byte         `json:"record,omitempty"`
	Error    string         `json:"error,omitempty"`
}

func send(c *net.UnixConn, m message, descriptors ...int) error {
	m.Protocol = protocol
	data, err := json.Marshal(m)
	switch {
	case err != nil:
		return err
	case len(data) > messageBytesMax:
		return fmt.Errorf("a record of %d bytes is too long", len(m.Record))
	}
	_, _, err = c.WriteMsgUnix(data, unix.UnixRights(descriptors...), nil)
	return err
}

// receive returns the next message. Its descriptors are the caller's.
func receive(c *net.UnixConn) (m message, descriptors []int, err error) {
	data := make([]byte, messageBytesMax)
	beside := make([]byte, unix.CmsgSpace(descriptorsMax*4))
	n, besides, _, _, err := c.ReadMsgUnix(data, beside)
	if err != nil {
		return m, nil, err
	}
	if n == 0 {
		return m, nil, net.ErrClosed
	}
	if descriptors, err = rights(beside[:besides]); err == nil {
		err = json.Unmarshal(data[:n], &m)
	}
	if err == nil && m.Protocol != protocol {
		err = fmt.Errorf("it speaks protocol %d, not %d", m.Protocol, protocol)
	}
	if err != nil {
		closeAll(descriptors)
		return m, nil, err
	}
	return m, descriptors, nil
}

func rights(beside []byte) (descriptors []int, err error) {
	if len(beside) == 0 {
		return nil, nil
	}
	list, err := unix.ParseSocketControlMessage(beside)
	for i := range list {
		more, parseErr := unix.ParseUnixRights(&list[i])
		descriptors, err = append(descriptors, more...), errors.Join(err, parseErr)
	}
	for _, fd := range descriptors {
		unix.CloseOnExec(fd)
	}
	return descriptors, err
}

func closeAll(descriptors []int) {
	for _, fd := range descriptors {
		_ = unix.Close(fd) // ours was a copy
	}
}

// peer returns who is at the other end: only this user may be.
func peer(c *net.UnixConn) (pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var who *unix.Ucred
	var asked error
	err = raw.Control(func(fd uintptr) { who, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	switch {
	case errors.Join(err, asked) != nil:
		return 0, errors.Join(err, asked)
	case int(who.Uid) != os.Geteuid():
		return 0, fmt.Errorf("user %d is not let in", who.Uid)
	}
	return int(who.Pid), nil
}
