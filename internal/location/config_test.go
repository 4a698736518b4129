package location_test

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

func s3(config map[string]string) *velerov1.BackupStorageLocation {
	return &velerov1.BackupStorageLocation{Spec: velerov1.BackupStorageLocationSpec{
		Provider: "aws", Config: config,
		StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "b"}},
	}}
}

func folder(config map[string]string) *velerov1.BackupStorageLocation {
	l := s3(config)
	l.Spec.Provider = "filesystem"
	return l
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		bsl  *velerov1.BackupStorageLocation
		want string // "" means that it is good
	}{
		"what Velero's locations have": {bsl: s3(map[string]string{
			"region": "us-east-1", "s3Url": "https://minio:9000", "publicUrl": "https://minio.example.com", "s3ForcePathStyle": "true",
			"insecureSkipTLSVerify": "false", "profile": "default", "kmsKeyId": "alias/backups", "tagging": "team=a&env=b",
			"checksumAlgorithm": "", "enableSharedConfig": "true", "signatureVersion": "4", "resticRepoPrefix": "s3:x",
		})},
		"a typing error is named":             {s3(map[string]string{"s3URL": "http://minio:9000"}), "spec.config[s3URL]: Unsupported value"},
		"a key of the other provider":         {folder(map[string]string{"fspath": "/x", "region": "a"}), "spec.config[region]"},
		"customer keys have their own reason": {s3(map[string]string{"customerKeyEncryptionSecret": "a/b"}), "keys of your own are not supported"},
		"an old signature":                    {s3(map[string]string{"signatureVersion": "1"}), `spec.config[signatureVersion]: Unsupported value: "1"`},
		"an unknown checksum":                 {s3(map[string]string{"checksumAlgorithm": "MD5"}), "CRC32, CRC32C"},
		"a known checksum":                    {s3(map[string]string{"checksumAlgorithm": "SHA256"}), ""},
		"an unknown encryption":               {s3(map[string]string{"serverSideEncryption": "ROT13"}), `Unsupported value: "ROT13"`},
		"AES256":                              {s3(map[string]string{"serverSideEncryption": "AES256"}), ""},
		"AES256 with a key":                   {s3(map[string]string{"serverSideEncryption": "AES256", "kmsKeyId": "k"}), "spec.config[kmsKeyId]: Forbidden"},
		"a path style that is no boolean":     {s3(map[string]string{"s3ForcePathStyle": "yes please"}), "must be true or false"},
		"a public URL with a path":            {s3(map[string]string{"publicUrl": "https://host/s3"}), "spec.config[publicUrl]"},
		"a password in a URL is not repeated": {s3(map[string]string{"s3Url": "https://me:secret@host"}), "credentials belong into the Secret"},
		"a folder with a public URL":          {folder(map[string]string{"fspath": "/x", "publicUrl": "https://podkeep.example.com"}), ""},
		"the same tag twice":                  {s3(map[string]string{"tagging": "a=1&a=2"}), "key a is there twice"},
		"a tag without a key":                 {s3(map[string]string{"tagging": "=1"}), "each key must have"},
		"too many tags":                       {s3(map[string]string{"tagging": "a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1"}), "at most 10 tags"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			_, err := location.New(tc.bsl)

			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
			g.Expect(err).NotTo(MatchError(ContainSubstring("secret@")))
		})
	}
}

func TestEncryption(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config map[string]string
		want   location.Encryption
	}{
		"none":           {nil, location.Encryption{}},
		"a key is KMS":   {map[string]string{"kmsKeyId": "k"}, location.Encryption{Algorithm: "aws:kms", KMSKeyID: "k"}},
		"KMS, no key":    {map[string]string{"serverSideEncryption": "aws:kms"}, location.Encryption{Algorithm: "aws:kms"}},
		"the simple one": {map[string]string{"serverSideEncryption": "AES256"}, location.Encryption{Algorithm: "AES256"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got, err := location.Location{Config: tc.config}.Encryption()

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestPlace(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	base := location.Location{Provider: location.ProviderAWS, Bucket: "b", Prefix: "p", Config: map[string]string{"s3Url": "http://a"}}
	place := func(mod func(*location.Location)) string {
		l := base
		l.Config = map[string]string{"s3Url": "http://a"}
		mod(&l)
		return l.Place()
	}

	g.Expect(place(func(l *location.Location) { l.CredentialsFile, l.Name, l.ReadOnly = "x", "n", true })).To(Equal(base.Place()))
	g.Expect(place(func(l *location.Location) { l.Config["profile"] = "x" })).To(Equal(base.Place()))
	g.Expect(place(func(l *location.Location) { l.Bucket = "c" })).NotTo(Equal(base.Place()))
	g.Expect(place(func(l *location.Location) { l.Prefix = "" })).NotTo(Equal(base.Place()))
	g.Expect(place(func(l *location.Location) { l.Config["s3Url"] = "http://b" })).NotTo(Equal(base.Place()))
	g.Expect(place(func(l *location.Location) { l.Bucket, l.Prefix = "bp", "" })).NotTo(Equal(base.Place()), "fields do not run into each other")
}

func TestWhatRealVeleroCanIsToldApart(t *testing.T) {
	t.Parallel()
	provider := func(name string) *velerov1.BackupStorageLocation {
		l := s3(nil)
		l.Spec.Provider = name
		return l
	}
	for name, tc := range map[string]struct {
		bsl  *velerov1.BackupStorageLocation
		want bool // whether real Velero can
	}{
		"a plugin of Velero":      {provider("azure"), true},
		"by its full name":        {provider("velero.io/gcp"), true},
		"a plugin of somebody":    {provider("community.openstack.org/openstack"), true},
		"keys of the user's own":  {s3(map[string]string{"customerKeyEncryptionFile": "/k"}), true},
		"a typing error":          {provider("asw"), false},
		"a typing error, in full": {provider("velero.io/asw"), false},
		"no provider":             {provider(""), false},
		"an unknown key":          {s3(map[string]string{"s3URL": "http://x"}), false},
		"two sources of certificates": {func() *velerov1.BackupStorageLocation {
			l := s3(nil)
			l.Spec.ObjectStorage.CACert, l.Spec.ObjectStorage.CACertRef = []byte("x"), &corev1.SecretKeySelector{Key: "ca"}
			return l
		}(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			_, err := location.New(tc.bsl)

			g.Expect(err).To(HaveOccurred())
			g.Expect(errors.Is(err, location.ErrNotSupported)).To(Equal(tc.want), "%v", err)
		})
	}
}
