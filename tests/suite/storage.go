package suite

// The S3 gateway of the test cluster (tests/cluster/README.md).
const (
	S3URL       = "http://10.96.0.90:9000"
	S3Bucket    = "podkeep"
	S3AccessKey = "podkeep"
	S3SecretKey = "podkeep-secret"

	// S3Credentials is its AWS shared credentials file.
	S3Credentials = "[default]\naws_access_key_id=" + S3AccessKey + "\naws_secret_access_key=" + S3SecretKey + "\n"
)
