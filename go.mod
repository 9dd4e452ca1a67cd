module github.com/lagan-storage/lagan

go 1.26.0

require golang.org/x/sys v0.49.0

require github.com/anishathalye/porcupine v1.3.1

require go.uber.org/goleak v1.3.0

require github.com/google/go-cmp v0.7.0
