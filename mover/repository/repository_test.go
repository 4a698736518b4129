package repository_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/maintenance"
	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/movertest"
	"github.com/podkeep/podkeep/mover/repository"
)

func newRepository(t *testing.T) wire.Repository {
	t.Helper()
	r := movertest.NewRepository(t)
	NewWithT(t).Expect(repository.Ensure(t.Context(), r)).To(Succeed())
	return r
}

// blobFile is the file of a blob with a short name.
func blobFile(r wire.Repository, blob string) string {
	return filepath.Join(movertest.RepositoryDir(r), blob+".f")
}

func TestEnsureCreatesWhatVeleroCreates(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)

	opened, err := repository.Open(t.Context(), r, repository.ForReading)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(opened.Close(t.Context())).To(Succeed()) }()

	direct := opened.Repository.(repo.DirectRepository) //nolint:forcetypeassert // storage is direct
	format := direct.FormatManager().ScrubbedContentFormat()
	g.Expect(format.Version).To(BeEquivalentTo(3))
	g.Expect(format.Hash).To(Equal("BLAKE2B-256-128"))
	g.Expect(format.Encryption).To(Equal("AES256-GCM-HMAC-SHA256"))
	g.Expect(format.ECC).To(BeEmpty())
	g.Expect(format.MaxPackSize).To(Equal(20 << 20))
	g.Expect(format.IndexVersion).To(Equal(2))
	g.Expect(format.EpochParameters.Enabled).To(BeTrue())
	g.Expect(format.EnablePasswordChange).To(BeTrue())
	g.Expect(direct.ObjectFormat().Splitter).To(Equal("DYNAMIC-4M-BUZHASH"))
	g.Expect(direct.ClientOptions().UsernameAtHost()).To(Equal("default@default"))

	params, err := maintenance.GetParams(t.Context(), opened)
	g.Expect(err).NotTo(HaveOccurred())
	want := maintenance.DefaultParams()
	want.Owner = "default@default"
	g.Expect(*params).To(Equal(want))

	var marker struct{ UniqueID []byte }
	data, err := os.ReadFile(blobFile(r, "udmrepo.Repository"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(json.Unmarshal(data, &marker)).To(Succeed())
	g.Expect(marker.UniqueID).To(Equal(direct.UniqueID()))
}

func TestEnsureAgainChangesNothing(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	before := movertest.ReadTree(t, movertest.RepositoryDir(r))

	g.Expect(repository.Ensure(t.Context(), r)).To(Succeed())

	g.Expect(movertest.ReadTree(t, movertest.RepositoryDir(r))).To(Equal(before))
}

func TestEnsureAdoptsARepositoryWithoutMarker(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	g.Expect(os.Remove(blobFile(r, "udmrepo.Repository"))).To(Succeed())

	readOnly := r
	readOnly.Location.ReadOnly = true
	g.Expect(repository.Ensure(t.Context(), readOnly)).To(Succeed())
	g.Expect(blobFile(r, "udmrepo.Repository")).NotTo(BeAnExistingFile())

	g.Expect(repository.Ensure(t.Context(), r)).To(Succeed())
	g.Expect(blobFile(r, "udmrepo.Repository")).To(BeARegularFile())
}

func TestEnsureFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		arrange      func(*testing.T) wire.Repository
		wantErr      error
		wantReason   string
		wantTerminal bool
	}{
		"the password is wrong": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := newRepository(t)
				r.PasswordFile = movertest.WritePassword(t, "wrong")
				return r
			},
			repository.ErrWrongPassword, velerov1.ReasonRepositoryPasswordWrong, true,
		},
		"the password file is missing": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := newRepository(t)
				r.PasswordFile += ".missing"
				return r
			},
			repository.ErrInvalidConfig, velerov1.ReasonRepositoryNotReady, true,
		},
		"the password is empty": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := movertest.NewRepository(t)
				r.PasswordFile = movertest.WritePassword(t, " ")
				return r
			},
			repository.ErrInvalidConfig, velerov1.ReasonRepositoryNotReady, true,
		},
		"the format is no JSON": {
			func(t *testing.T) wire.Repository { t.Helper(); return damaged(t, "kopia.repository", "{") },
			repository.ErrCorrupt, velerov1.ReasonRepositoryCorrupt, true,
		},
		"the format is empty": {
			func(t *testing.T) wire.Repository { t.Helper(); return damaged(t, "kopia.repository", "") },
			repository.ErrCorrupt, velerov1.ReasonRepositoryCorrupt, true,
		},
		"the marker is no JSON": {
			func(t *testing.T) wire.Repository { t.Helper(); return damaged(t, "udmrepo.Repository", "?") },
			repository.ErrCorrupt, velerov1.ReasonRepositoryCorrupt, true,
		},
		"the marker is of another repository": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				return damaged(t, "udmrepo.Repository", `{"uniqueID":"b3RoZXI="}`)
			},
			repository.ErrCorrupt, velerov1.ReasonRepositoryCorrupt, true,
		},
		"other data is there": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := movertest.NewRepository(t)
				NewWithT(t).Expect(os.MkdirAll(movertest.RepositoryDir(r), 0o700)).To(Succeed())
				NewWithT(t).Expect(os.WriteFile(blobFile(r, "something"), nil, 0o600)).To(Succeed())
				return r
			},
			repository.ErrExistingData, velerov1.ReasonRepositoryNotReady, true,
		},
		"the location is read-only and empty": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := movertest.NewRepository(t)
				r.Location.ReadOnly = true
				return r
			},
			repository.ErrNotInitialized, velerov1.ReasonRepositoryNotReady, true,
		},
		"the location's directory is missing": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := movertest.NewRepository(t)
				r.Location.Config = map[string]string{location.ConfigFilesystemPath: filepath.Join(t.TempDir(), "missing")}
				return r
			},
			repository.ErrBucketNotFound, velerov1.ReasonBucketNotFound, true,
		},
		"the namespace leads up": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := movertest.NewRepository(t)
				r.Namespace = "../../other"
				return r
			},
			repository.ErrInvalidConfig, velerov1.ReasonRepositoryNotReady, true,
		},
		"the namespace is the folder above": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := movertest.NewRepository(t)
				r.Namespace = ".."
				return r
			},
			repository.ErrInvalidConfig, velerov1.ReasonRepositoryNotReady, true,
		},
		"the namespace is empty": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := movertest.NewRepository(t)
				r.Namespace = ""
				return r
			},
			repository.ErrInvalidConfig, velerov1.ReasonRepositoryNotReady, true,
		},
		"the credentials file lacks the profile": {
			func(t *testing.T) wire.Repository {
				t.Helper()
				r := movertest.NewRepository(t)
				r.Location.Provider = location.ProviderAWS
				r.Location.Bucket = "bucket"
				r.Location.Config = map[string]string{location.ConfigS3URL: "http://127.0.0.1:1", location.ConfigProfile: "backup"}
				r.Location.CredentialsFile = filepath.Join(t.TempDir(), "cloud")
				NewWithT(t).Expect(os.WriteFile(r.Location.CredentialsFile, []byte("[default]\naws_access_key_id=a\n"), 0o600)).To(Succeed())
				return r
			},
			repository.ErrInvalidConfig, velerov1.ReasonRepositoryNotReady, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := tc.arrange(t)

			err := repository.Ensure(t.Context(), r)

			g.Expect(err).To(MatchError(tc.wantErr))
			g.Expect(repository.Reason(err)).To(Equal(tc.wantReason))
			g.Expect(repository.IsTerminal(err)).To(Equal(tc.wantTerminal))
		})
	}
}

// damaged returns a repository with one blob replaced.
func damaged(t *testing.T, blob, content string) wire.Repository {
	t.Helper()
	r := newRepository(t)
	NewWithT(t).Expect(os.WriteFile(blobFile(r, blob), []byte(content), 0o600)).To(Succeed())
	return r
}

func TestOpenWritesNoSecretAndNoLog(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)

	opened, err := repository.Open(t.Context(), r, repository.ForWriting)
	g.Expect(err).NotTo(HaveOccurred())
	for _, e := range movertest.ReadTree(t, r.CacheDir)[1:] {
		if e.Mode.IsDir() {
			g.Expect(e.Mode.Perm()).To(BeEquivalentTo(0o700), e.Path)
			continue
		}
		data, err := os.ReadFile(filepath.Join(r.CacheDir, e.Path))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(data)).NotTo(ContainSubstring(movertest.Password))
	}
	g.Expect(opened.Close(t.Context())).To(Succeed())

	g.Expect(movertest.ReadTree(t, r.CacheDir)).To(HaveLen(1), "closing removes the caches")
	for _, e := range movertest.ReadTree(t, movertest.RepositoryDir(r)) {
		g.Expect(e.Path).NotTo(HavePrefix("_"))
	}
}
