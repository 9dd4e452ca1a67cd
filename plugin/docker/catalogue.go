package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/lagan-storage/lagan/core/volume"
)

// catalogueFormat is the version of the catalogue's file.
const catalogueFormat = 1

// unheard is what is said of a volume that was not heard of since the start.
const unheard = "not heard of since this node was started"

// catalogue is what was last known of all volumes. Their specifications and who
// uses them here survive a restart; how they were doing would only mislead
// after one.
type catalogue struct {
	path   string
	saving sync.Mutex // one writer of the file; guards saved
	saved  uint64     // the edition that the file has

	mu      sync.Mutex               // guards what follows
	known   bool                     // the cluster was asked once, now or before a restart
	reports map[string]volume.Report // by name
	users   map[string][]volume.User // of this node, by name of the volume
	edition uint64                   // rises with every change of what the file says
}

// record is the catalogue's file.
type record struct {
	Format  int           `json:"format"`
	Volumes []volume.Spec `json:"volumes"`
	// Users are the mounts of this node's containers, so that a container that is
	// started again is known by its name at once.
	Users map[string][]volume.User `json:"users,omitempty"`
}

// openCatalogue reads the file at path. With an error the catalogue is empty.
func openCatalogue(path string) (*catalogue, error) {
	c := &catalogue{path: path, reports: map[string]volume.Report{}, users: map[string][]volume.User{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	r, err := decodeCatalogue(data)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	c.known = true
	for _, spec := range r.Volumes {
		c.reports[spec.Name] = volume.Report{ID: spec.Volume, Spec: spec, Reason: unheard}
		if users := r.Users[spec.Name]; len(users) > 0 {
			c.users[spec.Name] = users[:min(len(users), volume.UsersMax)]
		}
	}
	return c, nil
}

func decodeCatalogue(data []byte) (r record, err error) {
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, err
	}
	if r.Format != catalogueFormat {
		return record{}, fmt.Errorf("format %d is not %d", r.Format, catalogueFormat)
	}
	for i := range r.Volumes {
		if err := volume.CheckName(r.Volumes[i].Name); err != nil {
			return record{}, err
		}
	}
	return r, nil
}

// all returns what is known, by name; nothing is known until the cluster was
// asked once.
func (c *catalogue) all() (reports []volume.Report, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.reports)) {
		reports = append(reports, c.reports[name])
	}
	return reports, c.known
}

// content returns what the file is to say, and which edition that is.
func (c *catalogue) content() (r record, known bool, edition uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r = record{Format: catalogueFormat, Volumes: []volume.Spec{}, Users: maps.Clone(c.users)}
	for _, name := range slices.Sorted(maps.Keys(c.reports)) {
		r.Volumes = append(r.Volumes, c.reports[name].Spec)
	}
	return r, c.known, c.edition
}

func (c *catalogue) find(name string) (volume.Report, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, found := c.reports[name]
	return r, found
}

// replace takes in what the cluster says of all its volumes.
func (c *catalogue) replace(reports []volume.Report) error {
	c.mu.Lock()
	former, differs := c.reports, !c.known
	c.known, c.reports = true, make(map[string]volume.Report, len(reports))
	for _, r := range reports {
		if r.Spec.Name == "" && r.Health == volume.Unreadable {
			r = namedBefore(former, r)
		}
		if exists(&r) {
			was, found := former[r.Spec.Name]
			differs = differs || !found || !was.Spec.Equal(&r.Spec)
			c.reports[r.Spec.Name] = r
		}
	}
	if differs || len(c.reports) != len(former) {
		c.edition++
	}
	c.mu.Unlock()
	return c.save()
}

// namedBefore returns r, whose specification cannot be read, as it was known.
func namedBefore(former map[string]volume.Report, r volume.Report) volume.Report {
	for _, f := range former { // any order: one has the identity
		if f.ID == r.ID {
			r.Spec = f.Spec
		}
	}
	return r
}

// exists reports whether a volume is one for the engine.
func exists(r *volume.Report) bool { return r.Spec.Name != "" && r.Health != volume.Deleting }

func (c *catalogue) put(r volume.Report) error {
	c.mu.Lock()
	if was, found := c.reports[r.Spec.Name]; !found || !was.Spec.Equal(&r.Spec) {
		c.edition++
	}
	c.reports[r.Spec.Name] = r
	c.mu.Unlock()
	return c.save()
}

// remove forgets a volume that is certainly gone.
func (c *catalogue) remove(name string) error {
	c.mu.Lock()
	if _, found := c.reports[name]; found {
		c.edition++
	}
	delete(c.reports, name)
	c.mu.Unlock()
	return c.save()
}

// keepUsers remembers who uses a volume on this node.
func (c *catalogue) keepUsers(name string, users []volume.User) error {
	c.mu.Lock()
	if !slices.Equal(c.users[name], users) {
		c.edition++
	}
	c.users[name] = users
	if len(users) == 0 {
		delete(c.users, name)
	}
	c.mu.Unlock()
	return c.save()
}

// save writes the file if it would differ, whole after any crash. Of callers that
// wait for each other one writes what all of them changed.
func (c *catalogue) save() error {
	c.saving.Lock()
	defer c.saving.Unlock()
	if c.isSaved() {
		return nil
	}
	r, known, edition := c.content()
	if !known {
		return nil // a file says that everything is known
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(c.path, append(data, '\n')); err != nil {
		return err
	}
	c.saved = edition
	return nil
}

// isSaved reports whether the file has what is known; saving is held.
func (c *catalogue) isSaved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.saved == c.edition
}

// replaceFile writes a file beside path, syncs it, renames it and syncs the
// directory.
func replaceFile(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
