// Package archive writes and reads the item archive of a backup: a gzip
// compressed tar file with one JSON file per object (velero-facts §1.4).
//
// Both directions stream. A Writer holds one object at a time; Extract spreads
// the archive over a scratch directory, from which objects are read one by one
// and in order. So memory does not grow with the number of objects, only with
// the longest list of names in one namespace.
//
// The package does not know what is in the objects. An archive may come from a
// stranger: Extract refuses what leads out of the directory, and bounds what it
// takes.
package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// FormatVersion is the version of the format, the content of the first entry
	// and of Backup status.formatVersion.
	FormatVersion = "1.1.0"

	// MajorVersion is Backup status.version. Archives of another major version are
	// refused.
	MajorVersion = 1

	versionEntry     = "metadata/version"
	resourcesFolder  = "resources"
	clusterFolder    = "cluster"
	namespacesFolder = "namespaces"
	preferredSuffix  = "-preferredversion"
	itemSuffix       = ".json"
)

var (
	// ErrCorrupt is an archive that is truncated or damaged.
	ErrCorrupt = errors.New("corrupt archive")

	// ErrUnsafe is an archive with an entry that leads out of the directory or is
	// not a plain file.
	ErrUnsafe = errors.New("unsafe archive entry")

	// ErrVersion is an archive without a version, or of one that is not supported.
	ErrVersion = errors.New("unsupported archive version")

	// ErrTooLarge is an archive beyond a limit; the text names the limit.
	ErrTooLarge = errors.New("archive too large")

	// ErrBadItem is an item that an archive cannot hold.
	ErrBadItem = errors.New("bad archive item")
)

// folderOf is the folder of an item below the folder of its resource.
func folderOf(namespace string) string {
	if namespace == "" {
		return clusterFolder
	}
	return namespacesFolder + "/" + namespace
}

// itemPath is where an entry of the archive is found: resource, namespace and
// name.
type itemPath struct {
	resource  schema.GroupResource
	namespace string // "" for cluster scope
	name      string
}

// check keeps a path to one element per field.
func (p itemPath) check() error {
	err := errors.Join(checkElement("resource", p.resource.String()), checkElement("name", p.name))
	if p.namespace != "" {
		err = errors.Join(err, checkElement("namespace", p.namespace))
	}
	return err
}

// parsePath takes an entry name apart. ok is false for entries that are not
// items in the unversioned layout: metadata, and the copies by version.
func parsePath(name string) (p itemPath, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) < 4 || parts[0] != resourcesFolder || parts[1] == "" {
		return p, false
	}
	last := len(parts) - 1
	p.resource = schema.ParseGroupResource(parts[1])
	p.name, ok = strings.CutSuffix(parts[last], itemSuffix)
	if !ok || p.name == "" {
		return p, false
	}
	switch {
	case parts[2] == clusterFolder && last == 3:
		return p, true
	case parts[2] == namespacesFolder && last == 4:
		p.namespace = parts[3]
		return p, true
	default:
		return p, false
	}
}

// maxElementBytes is the longest resource, namespace or name. Velero unpacks an
// archive into files called "<name>.json", and file systems have names of up to
// 255 bytes: a longer one would make it refuse the whole archive.
const maxElementBytes = 255 - len(itemSuffix)

// checkElement accepts what can be one element of a path.
func checkElement(field, value string) error {
	if value == "." || strings.Contains(value, "/") || !fs.ValidPath(value) || !isLegible(value) {
		return fmt.Errorf("%w: %s: Invalid value: %q: must be one path element, without control characters", ErrBadItem, field, value)
	}
	if len(value) > maxElementBytes {
		return fmt.Errorf("%w: %s: Invalid value: %q…: must not have more than %d bytes", ErrBadItem, field, value[:50], maxElementBytes)
	}
	return nil
}

// isLegible reports whether a name can be shown to people. The API server takes no
// other names; an archive may have them.
func isLegible(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}
