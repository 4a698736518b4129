package locationaccess_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
)

const installNamespace = "velero"

// reader is an API that has these objects, and nothing else.
type reader struct {
	client.Reader

	secrets   map[string]*corev1.Secret
	locations map[string]*velerov1.BackupStorageLocation
	err       error
}

func (r *reader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if r.err != nil {
		return r.err
	}
	switch into := into.(type) {
	case *corev1.Secret:
		if found := r.secrets[key.Name]; found != nil && key.Namespace == installNamespace {
			found.DeepCopyInto(into)
			return nil
		}
	case *velerov1.BackupStorageLocation:
		if found := r.locations[key.Name]; found != nil && key.Namespace == installNamespace {
			found.DeepCopyInto(into)
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func secret(name, key, value string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: installNamespace, Name: name, UID: "uid", ResourceVersion: "1"},
		Data:       map[string][]byte{key: []byte(value)},
	}
}

func secrets(all ...*corev1.Secret) *reader {
	r := &reader{secrets: map[string]*corev1.Secret{}}
	for _, s := range all {
		r.secrets[s.Name] = s
	}
	return r
}

func bsl(mods ...func(*velerov1.BackupStorageLocation)) *velerov1.BackupStorageLocation {
	b := &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: installNamespace, Name: "default"},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider:    "aws",
			Config:      map[string]string{location.ConfigS3URL: "http://127.0.0.1:1"},
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "bucket"}},
		},
	}
	for _, mod := range mods {
		mod(b)
	}
	return b
}

func credential(name, key string, optional bool) func(*velerov1.BackupStorageLocation) {
	return func(b *velerov1.BackupStorageLocation) { b.Spec.Credential = selector(name, key, optional) }
}

func caCertRef(name, key string, optional bool) func(*velerov1.BackupStorageLocation) {
	return func(b *velerov1.BackupStorageLocation) {
		b.Spec.ObjectStorage.CACertRef = selector(name, key, optional)
	}
}

func selector(name, key string, optional bool) *corev1.SecretKeySelector {
	return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key, Optional: &optional}
}

const keys = "[default]\naws_access_key_id=a\naws_secret_access_key=b\n"

func TestResolve(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		api         *reader
		bsl         *velerov1.BackupStorageLocation
		defaultFile string // content; "" means that there is no file

		wantFile   string // content of the credentials file; "" means none
		wantCA     string
		wantReason string
		wantText   string
	}{
		"without a credential and a default the environment is left": {
			api: secrets(), bsl: bsl(),
		},
		"the default is used": {
			api: secrets(), bsl: bsl(), defaultFile: "default", wantFile: "default",
		},
		"its own credential beats the default": {
			api: secrets(secret("own", "cloud", keys)), bsl: bsl(credential("own", "cloud", false)), defaultFile: "default", wantFile: keys,
		},
		"a missing Secret is named": {
			api: secrets(), bsl: bsl(credential("own", "cloud", false)), defaultFile: "default",
			wantReason: velerov1.ReasonAccessDenied, wantText: "spec.credential: not found: Secret velero/own",
		},
		"a missing key is named": {
			api: secrets(secret("own", "other", keys)), bsl: bsl(credential("own", "cloud", false)),
			wantReason: velerov1.ReasonAccessDenied, wantText: `not found: key "cloud" of Secret velero/own`,
		},
		"an optional credential may be missing": {
			api: secrets(), bsl: bsl(credential("own", "cloud", true)), defaultFile: "default", wantFile: "default",
		},
		"an inline CA is taken": {
			api: secrets(), wantCA: "inline",
			bsl: bsl(func(b *velerov1.BackupStorageLocation) { b.Spec.ObjectStorage.CACert = []byte("inline") }),
		},
		"a CA of a Secret is taken": {
			api: secrets(secret("ca", "ca.crt", "pem")), bsl: bsl(caCertRef("ca", "ca.crt", false)), wantCA: "pem",
		},
		"two CAs are one too many": {
			api: secrets(secret("ca", "ca.crt", "pem")),
			bsl: bsl(caCertRef("ca", "ca.crt", false), func(b *velerov1.BackupStorageLocation) {
				b.Spec.ObjectStorage.CACert = []byte("inline")
			}),
			wantReason: velerov1.ReasonInvalidSpec, wantText: "caCertRef",
		},
		"a missing CA is named": {
			api: secrets(), bsl: bsl(caCertRef("ca", "ca.crt", false)),
			wantReason: velerov1.ReasonInvalidSpec, wantText: "Secret velero/ca",
		},
		"an optional CA may be missing": {
			api: secrets(), bsl: bsl(caCertRef("ca", "ca.crt", true)),
		},
		"a wrong spec is named": {
			api: secrets(), bsl: bsl(func(b *velerov1.BackupStorageLocation) { b.Spec.Provider = "floppy" }),
			wantReason: velerov1.ReasonInvalidSpec, wantText: "floppy",
		},
		"an API that fails is no wrong spec": {
			api: &reader{err: errors.New("API is down")}, bsl: bsl(credential("own", "cloud", false)),
			wantReason: velerov1.ReasonLocationUnavailable, wantText: "API is down",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := resolver(t, tc.api, tc.defaultFile)

			l, err := r.Resolve(t.Context(), tc.bsl)

			g.Expect(locationaccess.Reason(err)).To(Equal(tc.wantReason))
			if tc.wantReason != "" {
				g.Expect(err).To(MatchError(ContainSubstring(tc.wantText)))
				return
			}
			g.Expect(string(l.CACert)).To(Equal(tc.wantCA))
			g.Expect(contentOf(t, l.CredentialsFile)).To(Equal(tc.wantFile))
		})
	}
}

func resolver(t *testing.T, api *reader, defaultContent string) *locationaccess.Resolver {
	t.Helper()
	dir := t.TempDir()
	r := &locationaccess.Resolver{
		Client:                 api,
		Namespace:              installNamespace,
		CredentialsDir:         filepath.Join(dir, "credentials"),
		DefaultCredentialsFile: filepath.Join(dir, "default"),
	}
	if defaultContent != "" {
		NewWithT(t).Expect(os.WriteFile(r.DefaultCredentialsFile, []byte(defaultContent), 0o600)).To(Succeed())
	}
	return r
}

func contentOf(t *testing.T, file string) string {
	t.Helper()
	if file == "" {
		return ""
	}
	b, err := os.ReadFile(file)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return string(b)
}

func TestCredentialsArePrivate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := resolver(t, secrets(secret("own", "cloud", keys)), "")

	l, err := r.Resolve(t.Context(), bsl(credential("own", "cloud", false)))

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.CredentialsFile).To(Equal(filepath.Join(r.CredentialsDir, installNamespace, "own-cloud")))
	info, err := os.Stat(l.CredentialsFile)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(fs.FileMode(0o600)))
	entries, err := os.ReadDir(filepath.Dir(l.CredentialsFile))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(entries).To(HaveLen(1), "no partial file is left")
}

func TestStore(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	api := secrets(secret("own", "cloud", keys))
	api.locations = map[string]*velerov1.BackupStorageLocation{"default": bsl(credential("own", "cloud", false))}
	r := resolver(t, api, "")

	first, found, err := r.Store(t.Context(), "default")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found.Name).To(Equal("default"))

	again, _, err := r.Store(t.Context(), "default")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(BeIdenticalTo(first), "nothing has changed")

	api.secrets["own"] = secret("own", "cloud", strings.ReplaceAll(keys, "=b", "=c"))
	other, _, err := r.Store(t.Context(), "default")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(other).NotTo(BeIdenticalTo(first), "the keys have changed")

	_, _, err = r.Store(t.Context(), "missing")
	g.Expect(err).To(MatchError(locationaccess.ErrLocationNotFound))
	g.Expect(locationaccess.Reason(err)).To(Equal(velerov1.ReasonLocationNotFound))
}

func TestStoreWithoutProfile(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	api := secrets(secret("own", "cloud", "[other]\n"))
	api.locations = map[string]*velerov1.BackupStorageLocation{"default": bsl(credential("own", "cloud", false))}

	_, found, err := resolver(t, api, "").Store(t.Context(), "default")

	g.Expect(err).To(MatchError(objectstore.ErrAccessDenied))
	g.Expect(found).NotTo(BeNil(), "the location exists")
}

func TestRepositoryPasswordFile(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		api  *reader
		want string // "" means ErrNoPassword
	}{
		"spaces around it are ignored": {secrets(secret(locationaccess.RepositorySecret, locationaccess.RepositoryPasswordKey, " secret\n")), "secret"},
		"no Secret":                    {secrets(), ""},
		"no key":                       {secrets(secret(locationaccess.RepositorySecret, "other", "secret")), ""},
		"an empty password":            {secrets(secret(locationaccess.RepositorySecret, locationaccess.RepositoryPasswordKey, "\n")), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			file, err := resolver(t, tc.api, "").RepositoryPasswordFile(t.Context())

			if tc.want == "" {
				g.Expect(err).To(MatchError(locationaccess.ErrNoPassword))
				g.Expect(locationaccess.Reason(err)).To(Equal(velerov1.ReasonRepositoryNotReady))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(contentOf(t, file)).To(Equal(tc.want))
		})
	}
}

func TestRepositoryPasswordVersion(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(resolver(t, secrets(), "").RepositoryPasswordVersion(t.Context())).To(BeEmpty())
	withSecret := secrets(secret(locationaccess.RepositorySecret, locationaccess.RepositoryPasswordKey, "secret"))
	version, err := resolver(t, withSecret, "").RepositoryPasswordVersion(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(version).To(Equal("uid/1"))
}
