package sim

// note has every history tell which fault struck, for those who look at what
// went wrong; no judge asks for it.
func (w *World) note(i *Incident) {
	for _, v := range w.volumes {
		v.history.Fault(w.now, w.now+int64(i.Fault.For), i.what())
	}
}
