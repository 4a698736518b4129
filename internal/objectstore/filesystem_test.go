package objectstore_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/objectstore/objectstoretest"
)

func filesystemAt(t *testing.T, dir, prefix string) objectstore.Store {
	t.Helper()
	s, err := objectstore.Open(t.Context(), location.Location{
		Provider: location.ProviderFilesystem,
		Prefix:   prefix,
		Config:   map[string]string{location.ConfigFilesystemPath: dir},
	})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return s
}

func TestFilesystem(t *testing.T) {
	t.Parallel()
	for name, prefix := range map[string]string{"without a prefix": "", "with a prefix": "cluster/one"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objectstoretest.Run(t, func(t *testing.T) objectstore.Store {
				t.Helper()
				return filesystemAt(t, t.TempDir(), prefix)
			})
		})
	}
}

func TestFilesystemKeepsFilesPrivate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := t.TempDir()
	s := filesystemAt(t, dir, "prefix")

	g.Expect(s.Put(t.Context(), "backups/a/x", strings.NewReader("x"))).To(Succeed())

	folder, err := os.Stat(filepath.Join(dir, "prefix/backups/a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(folder.Mode().Perm()).To(Equal(fs.FileMode(0o700)))
	file, err := os.Stat(filepath.Join(dir, "prefix/backups/a/x"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(file.Mode().Perm()).To(Equal(fs.FileMode(0o600)))
}

func TestFilesystemRemovesEmptyDirectories(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := t.TempDir()
	s := filesystemAt(t, dir, "prefix")
	g.Expect(s.Put(t.Context(), "backups/a/x", strings.NewReader("x"))).To(Succeed())

	g.Expect(s.Delete(t.Context(), "backups/a/x")).To(Succeed())

	entries, err := os.ReadDir(dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(entries).To(BeEmpty())
}

func TestFilesystemDoesNotFollowLinksOut(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	outside, dir := t.TempDir(), t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600)).To(Succeed())
	g.Expect(os.Symlink(outside, filepath.Join(dir, "link"))).To(Succeed())
	s := filesystemAt(t, dir, "")

	_, err := s.Get(t.Context(), "link/secret")
	g.Expect(err).To(HaveOccurred())
	g.Expect(s.Put(t.Context(), "link/new", strings.NewReader("x"))).NotTo(Succeed())
	g.Expect(s.Delete(t.Context(), "link/secret")).NotTo(Succeed())

	entries, err := os.ReadDir(outside)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(entries).To(HaveLen(1))
}

func TestFilesystemIgnoresWhatIsNoObject(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := t.TempDir()
	g.Expect(os.MkdirAll(filepath.Join(dir, "lost+found", "#1"), 0o700)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "lost+found", "#1", "x"), nil, 0o600)).To(Succeed())
	g.Expect(os.MkdirAll(filepath.Join(dir, "empty"), 0o700)).To(Succeed())
	s := filesystemAt(t, dir, "")

	g.Expect(s.CommonPrefixes(t.Context(), "")).To(BeEmpty())
	g.Expect(s.List(t.Context(), "")).To(BeEmpty())
}

func TestFilesystemWithoutItsDirectory(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	s := filesystemAt(t, filepath.Join(t.TempDir(), "missing"), "")

	_, err := s.CommonPrefixes(t.Context(), "")

	g.Expect(err).To(MatchError(objectstore.ErrBucketNotFound))
	g.Expect(objectstore.Reason(err)).To(Equal(velerov1.ReasonBucketNotFound))
	_, err = s.Exists(t.Context(), "a")
	g.Expect(err).To(MatchError(objectstore.ErrBucketNotFound), "not just no object")
	g.Expect(s.Put(t.Context(), "a", strings.NewReader(""))).To(MatchError(objectstore.ErrBucketNotFound), "a missing mount is not made up for")
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	credentials := filepath.Join(t.TempDir(), "cloud")
	NewWithT(t).Expect(os.WriteFile(credentials, []byte("[default]\naws_access_key_id=a\naws_secret_access_key=b\n"), 0o600)).To(Succeed())
	s3 := func(mod func(*location.Location)) location.Location {
		l := location.Location{
			Provider:        location.ProviderAWS,
			Bucket:          "bucket",
			Config:          map[string]string{location.ConfigS3URL: "http://127.0.0.1:1"},
			CredentialsFile: credentials,
		}
		mod(&l)
		return l
	}
	tests := map[string]struct {
		location   location.Location
		wantReason string
		wantText   string
	}{
		"an unknown provider": {
			location:   location.Location{Provider: "velero.io/azure"},
			wantReason: velerov1.ReasonInvalidSpec, wantText: "velero.io/azure",
		},
		"a filesystem prefix that leads out": {
			location: location.Location{Provider: location.ProviderFilesystem, Prefix: "a/../..",
				Config: map[string]string{location.ConfigFilesystemPath: "/x"}},
			wantReason: velerov1.ReasonInvalidSpec, wantText: "spec.objectStorage.prefix",
		},
		"a relative fspath": {
			location: location.Location{Provider: location.ProviderFilesystem,
				Config: map[string]string{location.ConfigFilesystemPath: "x"}},
			wantReason: velerov1.ReasonInvalidSpec, wantText: "fspath",
		},
		"a CA that is no certificate": {
			location:   s3(func(l *location.Location) { l.CACert = []byte("x") }),
			wantReason: velerov1.ReasonInvalidSpec, wantText: "caCert",
		},
		"a path style that is no boolean": {
			location:   s3(func(l *location.Location) { l.Config[location.ConfigS3ForcePathStyle] = "yes please" }),
			wantReason: velerov1.ReasonInvalidSpec, wantText: "s3ForcePathStyle",
		},
		"an endpoint with a path": {
			location:   s3(func(l *location.Location) { l.Config[location.ConfigS3URL] = "http://host/path" }),
			wantReason: velerov1.ReasonInvalidSpec, wantText: "s3Url",
		},
		"a profile that the credentials do not have": {
			location:   s3(func(l *location.Location) { l.Config[location.ConfigProfile] = "other" }),
			wantReason: velerov1.ReasonAccessDenied, wantText: "other",
		},
		"a credentials file that does not exist": {
			location:   s3(func(l *location.Location) { l.CredentialsFile += "-missing" }),
			wantReason: velerov1.ReasonAccessDenied, wantText: credentials + "-missing",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			_, err := objectstore.Open(t.Context(), tc.location)

			g.Expect(objectstore.Reason(err)).To(Equal(tc.wantReason))
			g.Expect(err).To(MatchError(ContainSubstring(tc.wantText)))
		})
	}
}
