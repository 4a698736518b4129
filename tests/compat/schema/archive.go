package schema

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// archive is what the other checks want to know of it.
type archive struct {
	kinds   map[string][]string // "apps/v1/Deployment" to "namespace/name"
	volumes map[string]string   // persistent volumes to the claims they are bound to
	claims  map[string]string   // bound claims to their persistent volumes
	items   int
}

// itemPath is what the path of an entry says.
type itemPath struct {
	resource  schema.GroupResource
	version   string // of the folder; "" in the plain layout
	namespace string
	name      string
}

func (p itemPath) plain() string {
	if p.namespace == "" {
		return p.resource.String() + " " + p.name
	}
	return p.resource.String() + " " + p.namespace + "/" + p.name
}

// parsePath takes a path apart (velero-facts §1.4).
func parsePath(name string) (p itemPath, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) < 4 || parts[0] != "resources" {
		return p, false
	}
	p.resource = schema.ParseGroupResource(parts[1])
	rest := parts[2:]
	if version, is := strings.CutSuffix(rest[0], "-preferredversion"); is {
		p.version, rest = version, rest[1:]
	}
	last := rest[len(rest)-1]
	p.name, ok = strings.CutSuffix(last, ".json")
	switch {
	case !ok || p.name == "" || p.resource.Resource == "":
		return p, false
	case rest[0] == "cluster" && len(rest) == 2:
		return p, true
	case rest[0] == "namespaces" && len(rest) == 3 && rest[1] != "":
		p.namespace = rest[1]
		return p, true
	default:
		return p, false
	}
}

// item is what is looked at of an object in the archive.
type item struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
	Spec       object            `json:"spec"`
	Status     object            `json:"status"`
}

func text(o object, key string) string {
	var s string
	_ = json.Unmarshal(o[key], &s) // something else is no text
	return s
}

// entries are the items of an archive by their paths.
type entries struct {
	plain     map[string][]byte // content by itemPath.plain
	preferred map[string][]byte
}

// checkArchive checks the item archive.
func (b *backup) checkArchive() {
	key := b.key(".tar.gz")
	b.archive = archive{kinds: map[string][]string{}, volumes: map[string]string{}, claims: map[string]string{}}
	zr, err := gzip.NewReader(bytes.NewReader(b.read(key)))
	if err != nil {
		b.add(key, RuleGzip, "%v", err)
		return
	}
	e := entries{plain: map[string][]byte{}, preferred: map[string][]byte{}}
	tr := tar.NewReader(zr)
	for first := true; ; first = false {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(tr)
		}
		if err != nil {
			b.add(key, RuleGzip, "%v", err)
			return
		}
		if first || header.Name == "metadata/version" {
			b.checkVersionEntry(key, header, content, first)
			continue
		}
		b.checkEntry(key, header, content, e)
	}
	if _, err := io.Copy(io.Discard, zr); err != nil {
		b.add(key, RuleGzip, "%v", err)
	}
	b.checkCopies(key, e)
	b.checkProgress(key)
}

func (b *backup) checkVersionEntry(key string, header *tar.Header, content []byte, first bool) {
	if !first || header.Name != "metadata/version" || string(content) != formatVersion+"\n" {
		b.add(key, RuleEntry, "the first entry, and only that, must be metadata/version with %q; it is %s with %.20q", formatVersion+"\n", header.Name, content)
	}
	b.checkHeader(key, header)
}

func (b *backup) checkHeader(key string, header *tar.Header) {
	if header.Typeflag != tar.TypeReg || header.Mode != 0o755 || header.ModTime.Unix() <= 0 {
		b.add(key, RuleEntry, "%s has type %q, mode %o and time %s; it must be a plain file of mode 755", header.Name, header.Typeflag, header.Mode, header.ModTime)
	}
}

func (b *backup) checkEntry(key string, header *tar.Header, content []byte, e entries) {
	b.checkHeader(key, header)
	p, ok := parsePath(header.Name)
	if !ok {
		b.add(key, RulePath, "%s is no path of an item", header.Name)
		return
	}
	into := e.plain
	if p.version != "" {
		into = e.preferred
	}
	if _, twice := into[p.plain()]; twice {
		b.add(key, RuleEntry, "%s is there twice", header.Name)
	}
	into[p.plain()] = content
	b.checkItem(key, header.Name, p, content)
}

// checkItem checks one object, and remembers what others want to know.
func (b *backup) checkItem(key, name string, p itemPath, content []byte) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil || !bytes.Equal(compact.Bytes(), content) {
		b.add(key, RuleJSON, "%s is not one compact document", name)
	}
	var i item
	if err := json.Unmarshal(content, &i); err != nil {
		b.add(key, RuleItem, "%s: %v", name, err)
		return
	}
	gv, err := schema.ParseGroupVersion(i.APIVersion)
	switch {
	case err != nil || i.Kind == "" || gv.Group != p.resource.Group || gv.Version == "":
		b.add(key, RuleItem, "%s is a %q of %q", name, i.Kind, i.APIVersion)
	case p.version != "" && gv.Version != p.version:
		b.add(key, RuleItem, "%s is of version %q", name, gv.Version)
	case i.Metadata.Name != p.name || i.Metadata.Namespace != p.namespace:
		b.add(key, RuleItem, "%s is called %s/%s", name, i.Metadata.Namespace, i.Metadata.Name)
	}
	if p.version != "" {
		return
	}
	b.archive.items++
	kind := i.APIVersion + "/" + i.Kind
	listed := strings.TrimPrefix(p.namespace+"/"+p.name, "/")
	b.archive.kinds[kind] = append(b.archive.kinds[kind], listed)
	switch p.resource.String() {
	case "persistentvolumes":
		b.rememberVolume(i)
	case "persistentvolumeclaims":
		b.checkClaim(key, name, i)
	}
}

func (b *backup) rememberVolume(i item) {
	var claim struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	}
	_ = json.Unmarshal(i.Spec["claimRef"], &claim) // none is bound to nothing
	b.archive.volumes[i.Metadata.Name] = claim.Namespace + "/" + claim.Name
}

// checkClaim wants a bound claim without what would fill or bind it in another
// way.
func (b *backup) checkClaim(key, name string, i item) {
	if text(i.Status, "phase") != "Bound" || text(i.Spec, "volumeName") == "" {
		return
	}
	_, source := i.Spec["dataSource"]
	_, sourceRef := i.Spec["dataSourceRef"]
	_, selector := i.Spec["selector"]
	class, hasClass := i.Spec["storageClassName"]
	if source || sourceRef || (selector && (!hasClass || string(class) != `""`)) {
		b.add(key, RuleClaim, "%s is bound, and has a dataSource, dataSourceRef or selector", name)
	}
	for _, label := range []string{labelBackupName, "velero.io/restore-name"} {
		if _, ok := i.Metadata.Labels[label]; ok {
			b.add(key, RuleClaim, "%s has the label %s of an earlier restore", name, label)
		}
	}
}

// checkCopies wants each item in both layouts, with the same content. Of a kind
// that its group does not serve in the preferred version there is no copy; none
// of the test clusters has one.
func (b *backup) checkCopies(key string, e entries) {
	for _, name := range slices.Sorted(maps.Keys(e.plain)) {
		other, ok := e.preferred[name]
		switch {
		case !ok:
			b.add(key, RuleCopy, "%s has no copy by version", name)
		case !bytes.Equal(other, e.plain[name]):
			b.add(key, RuleCopy, "%s has a copy by version with other content", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.preferred)) {
		if _, ok := e.plain[name]; !ok {
			b.add(key, RuleCopy, "%s is there by version only", name)
		}
	}
}

func (b *backup) checkProgress(key string) {
	if p := b.object.Status.Progress; p != nil && p.ItemsBackedUp != b.archive.items {
		b.add(key, RuleCount, "has %d items, status.progress %d", b.archive.items, p.ItemsBackedUp)
	}
}

// checkResourceList compares the resource list with the archive.
func (b *backup) checkResourceList() {
	key := b.key("-resource-list.json.gz")
	var list map[string][]string
	if !b.document(key, &list) {
		return
	}
	for kind, names := range list {
		if !slices.IsSorted(names) {
			b.add(key, RuleList, "%s is not sorted", kind)
		}
		archived := slices.Clone(b.archive.kinds[kind])
		slices.Sort(archived)
		if !slices.Equal(archived, slices.Sorted(slices.Values(names))) {
			b.add(key, RuleList, "%s is %v, in the archive %v", kind, names, archived)
		}
	}
	for kind, names := range b.archive.kinds {
		if _, ok := list[kind]; !ok {
			b.add(key, RuleList, "%s is missing; the archive has %v", kind, names)
		}
	}
}
