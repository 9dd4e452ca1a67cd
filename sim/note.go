package sim

import "fmt"

// note has every history tell which fault struck, for those who look at what
// went wrong; no judge asks for it.
func (w *World) note(f *Fault) {
	text := fmt.Sprintf("%v, node n%d, peer n%d", f.Kind, f.Node, f.Peer)
	for _, v := range w.volumes {
		v.history.Fault(w.now, w.now+int64(f.For), text)
	}
}
