package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/transport/identity"
)

// export makes a volume, or a snapshot of one, reachable on a node.
func export(t *testing.T, n *cluster.Node, what string) (uri string) {
	t.Helper()
	uri = strings.TrimSpace(lagan(t, n, "volume", "export", what))
	socket := filepath.Join(filepath.Dir(n.Socket), "nbd.sock")
	if want := "nbd+unix:///" + what + "?socket=" + socket; uri != want {
		t.Fatalf("export %s: %s, want %s", what, uri, want)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket of block clients: %v, %v", info, err)
	}
	return uri
}

// useExport connects to what a node exports, and stays.
func useExport(t *testing.T, n *cluster.Node, name string) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "unix", filepath.Join(filepath.Dir(n.Socket), "nbd.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	said := append([]byte{0, 0, 0, 3}, "IHAVEOPT\x00\x00\x00\x01\x00\x00\x00"...) // no padding, and the export by name
	said = append(append(said, byte(len(name))), name...)
	if _, err := conn.Write(said); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 18+10)); err != nil { // greeting; size and flags
		t.Fatal(err)
	}
	return conn
}

// ends waits until a node has hung up.
func ends(t *testing.T, conn net.Conn, why string) {
	t.Helper()
	if n, _ := io.Copy(io.Discard, conn); n > 0 {
		t.Errorf("%d bytes came, want the end: %s", n, why)
	}
}

// extent is where a client is told that there is data, or none.
type extent struct{ Offset, Length, Type int64 }

const holeAndZero = 3

// wantMap asks a foreign client for what an export says of its content.
func wantMap(t *testing.T, uri string, want ...extent) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nbdinfo", "--json", "--map", uri).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []extent
	if err := json.Unmarshal(out, &got); err != nil || !slices.Equal(got, want) {
		t.Errorf("map of %s: %v (%v), want %v", uri, got, err, want)
	}
}

func TestE2EBlockClientsUseAVolumeWhileACopyDies(t *testing.T) {
	t.Parallel()
	require.Program(t, "fio", "fio")
	require.Program(t, "nbdcopy", "libnbd-bin")
	require.Program(t, "qemu-io", "qemu-utils")
	c := newCluster(t, "512MiB", "a", "b", "c")
	up(t, c)
	dies, serves := c.Node("b"), c.Node("c")
	create(t, serves, "db", map[string]string{"size": "96MiB", "fs": "none", "replicas": "2", "nodes": "a+b"})
	uri := export(t, serves, "db") // on a node without a copy
	there, back := filepath.Join(serves.Dir(), "there"), filepath.Join(serves.Dir(), "back")
	image := random(64 * mebi)
	if err := os.WriteFile(there, image, 0o600); err != nil {
		t.Fatal(err)
	}
	call(t, "nbdcopy", "--flush", there, uri)
	lagan(t, serves, "snapshot", "create", "db", "monday")
	wantMap(t, uri, extent{0, 64 * mebi, 0}, extent{64 * mebi, 32 * mebi, holeAndZero})

	var said bytes.Buffer
	fio := exec.CommandContext(t.Context(), "fio", "--name=verify", "--ioengine=nbd", "--uri="+uri, "--iodepth=16", "--rw=randwrite", "--bsrange=4k-128k",
		"--size=64m", "--loops=2", "--fsync=64", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0")
	fio.Stdout, fio.Stderr = &said, &said
	if err := fio.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, c, "fio is connected", func() (bool, error) {
		v, err := serves.Client().Volume(t.Context(), "db")
		a := v.Status.Attachment
		return a != nil && len(a.Exports) == 1 && a.Exports[0].Clients > 0, err
	})
	if err := dies.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := fio.Wait(); err != nil {
		t.Fatalf("fio: %v\n%s", err, &said)
	}
	call(t, "qemu-io", "-f", "raw", uri, "-c", "write -P 0xa5 1M 5M", "-c", "write -z 2M 1M", "-c", "flush",
		"-c", "read -P 0xa5 1M 1M", "-c", "read -P 0 2M 1M", "-c", "read -P 0xa5 3M 3M")

	snapshot := export(t, serves, "db@monday")
	wantMap(t, snapshot, extent{0, 64 * mebi, 0}, extent{64 * mebi, 32 * mebi, holeAndZero})
	call(t, "nbdcopy", snapshot, back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, append(image, make([]byte, 32*mebi)...)) {
		t.Errorf("the snapshot is not what was copied before it was taken (%v)", err)
	}
	if err := exec.CommandContext(t.Context(), "qemu-io", "-f", "raw", snapshot, "-c", "write 0 4k").Run(); err == nil {
		t.Error("a snapshot was written to")
	}
	lagan(t, serves, "volume", "unexport", "db")
	if v, err := serves.Client().Volume(t.Context(), "db"); err != nil || v.Status.Attachment == nil {
		t.Errorf("detached while a snapshot is exported (%v)", err)
	}
	lagan(t, serves, "volume", "unexport", "db@monday")
	until(t, c, "exporting had attached it, and is over", func() (bool, error) {
		v, err := serves.Client().Volume(t.Context(), "db")
		return v.Status.Attachment == nil, err
	})
}

func TestE2EConnectedBlockClientKeepsAVolumeUntilForce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b")
	up(t, c)
	a, b := c.Node("a"), c.Node("b")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2"})
	export(t, a, "db")
	conn := useExport(t, a, "db")
	if text := lagan(t, a, "volume", "inspect", "db"); !strings.Contains(text, "nbd.sock, 1 connection\n") {
		t.Errorf("inspect says nothing of the client:\n%s", text)
	}
	for what, end := range map[string]func() error{
		"detach":   func() error { return a.Client().Detach(t.Context(), "db", false) },
		"unexport": func() error { return a.Client().Unexport(t.Context(), "db", "", false) },
	} {
		if err := end(); !errors.Is(err, volume.ErrInUse) {
			t.Errorf("%s with a client: %v", what, err)
		}
	}
	if _, err := a.Client().Export(t.Context(), "db", "never", false); !errors.Is(err, volume.ErrSnapshotNotFound) {
		t.Errorf("export of a snapshot that there is not: %v", err)
	}
	if _, err := b.Client().Export(t.Context(), "db", "", false); !errors.Is(err, volume.ErrAttachedElsewhere) {
		t.Errorf("export of what another node has: %v", err)
	}
	if err := a.Client().Detach(t.Context(), "db", true); err != nil {
		t.Fatal(err)
	}
	ends(t, conn, "detached by force")

	export(t, a, "db")
	conn = useExport(t, a, "db")
	attach(t, b, "db", api.Attach{Force: true})
	ends(t, conn, "taken by another node")
	if err := b.Client().Detach(t.Context(), "db", false); err != nil {
		t.Fatal(err)
	}

	export(t, a, "db")
	conn = useExport(t, a, "db")
	lagan(t, a, "volume", "unexport", "db", "--force")
	ends(t, conn, "the export ended by force")
	export(t, a, "db")
	conn = useExport(t, a, "db")
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends(t, conn, "the daemon stopped")
}

func TestE2EVolumeIsExportedOrADevice(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	c := newCluster(t, "128MiB", "a")
	up(t, c)
	a := c.Node("a")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none"})
	lagan(t, a, "snapshot", "create", "db", "monday")
	export(t, a, "db")
	if _, err := a.Client().Attach(t.Context(), "db", api.Attach{Device: true}); !errors.Is(err, volume.ErrInUse) {
		t.Errorf("a device of what is exported: %v", err)
	}
	lagan(t, a, "volume", "unexport", "db")
	attach(t, a, "db", api.Attach{Device: true})
	if _, err := a.Client().Export(t.Context(), "db", "", false); !errors.Is(err, volume.ErrInUse) {
		t.Errorf("export of what is a device: %v", err)
	}
	export(t, a, "db@monday")
	if err := a.Client().Detach(t.Context(), "db", false); err != nil {
		t.Error(err)
	}
	if v, err := a.Client().Volume(t.Context(), "db"); err != nil || v.Status.Attachment != nil {
		t.Errorf("after detaching: %+v, %v", v.Status.Attachment, err)
	}
}

func TestE2EBlockClientOfAnotherMachineShowsACertificate(t *testing.T) {
	t.Parallel()
	require.Program(t, "qemu-img", "qemu-utils")
	c := newCluster(t, "128MiB", "a")
	a := c.Node("a")
	host, _, err := net.SplitHostPort(a.API())
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(host, "10239") // the cluster has the host for itself, and takes no port of these
	a.SetArguments("--nbd-listen", address)
	up(t, c)
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none"})
	e, err := a.Client().Export(t.Context(), "db", "", false)
	if err != nil || len(e.Uris) != 2 || e.Uris[1] != "nbds://"+address+"/db?tls-hostname="+identity.AnyNode {
		t.Fatalf("%+v, %v", e, err)
	}
	pki, image := t.TempDir(), random(16*mebi)
	for from, to := range map[string]string{
		identity.AuthorityFile: "ca-cert.pem", identity.CertificateFile: "client-cert.pem", identity.KeyFile: "client-key.pem",
	} {
		content, err := os.ReadFile(filepath.Join(a.Dir(), datadir.TLSDir, from))
		if err := errors.Join(err, os.WriteFile(filepath.Join(pki, to), content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	there := filepath.Join(pki, "there")
	if err := os.WriteFile(there, image, 0o600); err != nil {
		t.Fatal(err)
	}
	where := "driver=nbd,host=" + host + ",port=10239,export=db"
	call(t, "qemu-img", "convert", "-n", "--object", "tls-creds-x509,id=tls,endpoint=client,dir="+pki, "--target-image-opts", "-f", "raw", there,
		where+",tls-creds=tls,tls-hostname="+identity.AnyNode)
	wantContent(t, a, "db", 0, image)
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "info", "--image-opts", where).CombinedOutput(); err == nil {
		t.Errorf("served without TLS: %s", out)
	}
}
