package repositories

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/location"
)

func TestNew(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	r := New("velero", "shop", "default")

	g.Expect(r.Namespace).To(Equal("velero"))
	g.Expect(r.Name).To(Equal("shop-default-kopia"))
	g.Expect(r.Labels).To(Equal(map[string]string{
		"velero.io/volume-namespace": "shop",
		"velero.io/storage-location": "default",
		"velero.io/repository-type":  "kopia",
	}))
	g.Expect(r.Spec.VolumeNamespace).To(Equal("shop"))
	g.Expect(r.Spec.BackupStorageLocation).To(Equal("default"))
	g.Expect(r.Spec.RepositoryType).To(Equal("kopia"))
}

func TestNewWithLongNames(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	long := strings.Repeat("l", 100)

	r := New("velero", "shop", long)

	g.Expect(r.Name).To(Equal("shop-" + long + "-kopia"))
	g.Expect(len(r.Labels["velero.io/storage-location"])).To(Equal(63))
}

func TestHash(t *testing.T) {
	t.Parallel()
	base := location.Location{Name: "default", Bucket: "b", Config: map[string]string{"region": "x"}}
	for name, tc := range map[string]struct {
		mod         func(*location.Location)
		version     string
		wantChanged bool
	}{
		"nothing":       {mod: func(*location.Location) {}},
		"credentials":   {mod: func(l *location.Location) { l.CredentialsFile = "other" }},
		"access mode":   {mod: func(l *location.Location) { l.ReadOnly = true }},
		"bucket":        {mod: func(l *location.Location) { l.Bucket = "other" }, wantChanged: true},
		"prefix":        {mod: func(l *location.Location) { l.Prefix = "other" }, wantChanged: true},
		"configuration": {mod: func(l *location.Location) { l.Config = map[string]string{"region": "y"} }, wantChanged: true},
		"certificates":  {mod: func(l *location.Location) { l.CACert = []byte("pem") }, wantChanged: true},
		"password":      {mod: func(*location.Location) {}, version: "2", wantChanged: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			changed := base
			tc.mod(&changed)

			before, err := Hash(base, "")
			g.Expect(err).NotTo(HaveOccurred())
			after, err := Hash(changed, tc.version)
			g.Expect(err).NotTo(HaveOccurred())

			g.Expect(before != after).To(Equal(tc.wantChanged))
		})
	}
}
