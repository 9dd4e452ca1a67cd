package daemon

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func listen(t *testing.T) *bounded {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "unix", filepath.Join(socketDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(l)
	t.Cleanup(func() { _ = b.Close() }) // some tests have done so
	return b
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestConnectionThatIsClosedGivesItsPlaceBack(t *testing.T) {
	l := listen(t)
	l.places = make(chan struct{}, 1)
	for range 3 {
		dial(t, l)
		c, err := l.Accept()
		if err != nil || len(l.places) != 1 {
			t.Fatalf("%d places taken, %v", len(l.places), err)
		}
		_, _ = c.Close(), c.Close() // the second says that it is closed
		if len(l.places) != 0 {
			t.Fatal("the place is still taken")
		}
	}
}

func TestListenerThatIsFullCanBeClosed(t *testing.T) {
	l := listen(t)
	l.places = make(chan struct{})
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// net/http answers a request that it does not read to its end, and closes its
// half of the connection so that the answer is not lost.
func TestRequestThatIsTooLongIsAnswered(t *testing.T) {
	l := listen(t)
	server := &http.Server{MaxHeaderBytes: headerBytesMax, ReadHeaderTimeout: headerWithin}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	c := dial(t, l)
	_, _ = io.WriteString(c, "GET /"+strings.Repeat("x", 4*headerBytesMax)+" HTTP/1.1\r\nHost: a\r\n\r\n") // it may not be read whole
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(answer.Status, err)
	}
	_ = server.Close() // the listener is closed with it
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
