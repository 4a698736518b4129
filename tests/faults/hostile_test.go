package faults

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// storedBackup is the folder of a backup in a bucket, by the key of each object.
type storedBackup struct {
	name    string
	objects map[string][]byte
}

// readStored reads a backup from the folder of a bucket.
func readStored(t *testing.T, bucket, name string) storedBackup {
	t.Helper()
	g := NewWithT(t)
	b := storedBackup{name: name, objects: map[string][]byte{}}
	g.Expect(fs.WalkDir(os.DirFS(bucket), strings.TrimSuffix(layout.BackupPrefix(name), "/"), func(key string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b.objects[key], err = os.ReadFile(filepath.Join(bucket, key))
		return err
	})).To(Succeed())
	g.Expect(b.objects).To(HaveKey(layout.BackupMetadata(name)))
	return b
}

// write puts the objects into a bucket, metadata last, as a backup does.
func (b storedBackup) write(t *testing.T, bucket string) {
	t.Helper()
	g := NewWithT(t)
	metadata := layout.BackupMetadata(b.name)
	put := func(key string) {
		file := filepath.Join(bucket, key)
		g.Expect(os.MkdirAll(filepath.Dir(file), 0o755)).To(Succeed())
		g.Expect(os.WriteFile(file, b.objects[key], 0o644)).To(Succeed())
	}
	for key := range b.objects {
		if key != metadata {
			put(key)
		}
	}
	put(metadata)
}

// as is the same backup under another name, as if it had been made under it.
func (b storedBackup) as(t *testing.T, name string) storedBackup {
	t.Helper()
	renamed := storedBackup{name: name, objects: map[string][]byte{}}
	for key, content := range b.objects {
		to := strings.ReplaceAll(key, b.name, name)
		switch {
		case key == layout.BackupMetadata(b.name):
			content = bytes.ReplaceAll(content, []byte(b.name), []byte(name))
		case strings.HasSuffix(key, ".json.gz"):
			content = pack(t, bytes.ReplaceAll(unpack(t, content), []byte(b.name), []byte(name)))
		}
		renamed.objects[to] = content
	}
	return renamed
}

// backup is the Backup that a sync makes of it.
func (b storedBackup) backup(t *testing.T, namespace string) *velerov1.Backup {
	t.Helper()
	backup := &velerov1.Backup{}
	NewWithT(t).Expect(json.Unmarshal(b.objects[layout.BackupMetadata(b.name)], backup)).To(Succeed())
	backup.Namespace, backup.UID, backup.ResourceVersion, backup.OwnerReferences = namespace, "", "", nil
	return backup
}

func pack(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	NewWithT(t).Expect(errors.Join(err, w.Close())).To(Succeed())
	return b.Bytes()
}

func unpack(t *testing.T, packed []byte) []byte {
	t.Helper()
	g := NewWithT(t)
	r, err := gzip.NewReader(bytes.NewReader(packed))
	g.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(r)
	g.Expect(err).NotTo(HaveOccurred())
	return content
}

// packedBomb unpacks to a gigabyte: a beginning, then the same again and again.
func packedBomb(t *testing.T, begin, repeat string) []byte {
	t.Helper()
	const block = 1 << 20
	part := pack(t, []byte(strings.Repeat(repeat, block/len(repeat))))
	return append(pack(t, []byte(begin)), bytes.Repeat(part, 1<<10)...)
}

// archiveWith is the item archive of a backup with more entries.
func archiveWith(t *testing.T, archive []byte, more ...tarEntry) []byte {
	t.Helper()
	g := NewWithT(t)
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	tr := tar.NewReader(bytes.NewReader(unpack(t, archive)))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(tw.WriteHeader(h)).To(Succeed())
		_, err = io.Copy(tw, tr)
		g.Expect(err).NotTo(HaveOccurred())
	}
	for _, e := range more {
		e.writeTo(t, tw)
	}
	g.Expect(errors.Join(tw.Close(), zw.Close())).To(Succeed())
	return out.Bytes()
}

// tarEntry is an entry of an attack.
type tarEntry struct {
	name, body, link string
	typ              byte  // a plain file when zero
	zeros            int64 // so many bytes instead of body
}

func (e tarEntry) writeTo(t *testing.T, tw *tar.Writer) {
	t.Helper()
	g := NewWithT(t)
	h := &tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.typ, Mode: 0o755, Size: int64(len(e.body)) + e.zeros}
	if e.typ == 0 {
		h.Typeflag = tar.TypeReg
	}
	g.Expect(tw.WriteHeader(h)).To(Succeed())
	_, err := io.WriteString(tw, e.body)
	g.Expect(err).NotTo(HaveOccurred())
	part := make([]byte, 1<<20)
	for left := e.zeros; left > 0; left -= int64(len(part)) {
		part = part[:min(int64(len(part)), left)]
		_, err := tw.Write(part)
		g.Expect(err).NotTo(HaveOccurred())
	}
}

// zeroEntries are copies by version, which nobody unpacks, of two gigabytes.
func zeroEntries() []tarEntry {
	var entries []tarEntry
	for i := range 70 {
		entries = append(entries, tarEntry{name: fmt.Sprintf("resources/pods/v1-preferredversion/cluster/%d.json", i), zeros: 30 << 20})
	}
	return entries
}
