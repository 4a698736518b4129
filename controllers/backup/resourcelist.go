package backup

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/podkeep/podkeep/internal/layout"
)

// resourceList writes a layout.ResourceList without holding it: only the names
// since the last flush are in memory.
type resourceList struct {
	gzip  *gzip.Writer
	first bool
	open  layout.ResourceList
}

// newResourceList begins a list. close ends it; w stays open.
func newResourceList(w io.Writer) (*resourceList, error) {
	l := &resourceList{gzip: gzip.NewWriter(w), first: true, open: layout.ResourceList{}}
	if _, err := io.WriteString(l.gzip, "{"); err != nil {
		return nil, fmt.Errorf("writing resource list: %w", err)
	}
	return l, nil
}

func (l *resourceList) add(kind schema.GroupVersionKind, namespace, name string) {
	l.open.Add(kind, layout.ItemName(namespace, name))
}

// flush writes the kinds that have been added to. No item of these kinds may be
// added after it.
func (l *resourceList) flush() error {
	l.open.Sort()
	for _, kind := range slices.Sorted(maps.Keys(l.open)) {
		if err := l.write(kind, l.open[kind]); err != nil {
			return fmt.Errorf("writing resource list: %w", err)
		}
	}
	clear(l.open)
	return nil
}

func (l *resourceList) write(kind string, items []string) error {
	key, err := json.Marshal(kind)
	if err != nil {
		return err
	}
	names, err := json.Marshal(items)
	if err != nil {
		return err
	}
	separator := ","
	if l.first {
		separator = ""
	}
	l.first = false
	_, err = fmt.Fprintf(l.gzip, "%s%s:%s", separator, key, names)
	return err
}

func (l *resourceList) close() error {
	err := l.flush()
	if err == nil {
		_, err = io.WriteString(l.gzip, "}\n")
	}
	if err := errors.Join(err, l.gzip.Close()); err != nil {
		return fmt.Errorf("closing resource list: %w", err)
	}
	return nil
}
